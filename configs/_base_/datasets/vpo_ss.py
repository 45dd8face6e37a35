# VPO-SS at original resolution, three seconds of stereo sound: the protocol of
# the CPM paper's Table 3. What VPO's files call 'val' is the test split here,
# as in the paper. It has no other, so a tenth of the training images is held
# out to choose the checkpoint by; the paper trains on all of them
# (holdout = 0 in training, and no validation).
_base_ = './avs_default.py'
dataset_type = 'VPODataset'
data_root = 'data/VPO'
holdout = 0.1

load = [
    dict(type='LoadFrameFromFile'),
    dict(type='LoadSoundSources', channels='stereo', seconds=3.0),
    dict(type='LoadTranslatedAnnotations'),
    dict(type='RecordSoundingClasses'),
]
train_pipeline = [
    *load,
    _base_.rescale,
    _base_.crop,
    *_base_.flip,
    _base_.distort,
    _base_.pack,
]
test_pipeline = [*load, _base_.pack]
tta_pipeline = [*load, _base_.tta_pipeline[-1]]

dataset = dict(type=dataset_type, data_root=data_root, subset='ss')
train_dataloader = dict(
    dataset=dict(holdout=holdout, pipeline=train_pipeline, **dataset)
)
val_dataloader = dict(
    dataset=dict(holdout=holdout, pipeline=test_pipeline, **dataset)
)
test_dataloader = dict(dataset=dict(pipeline=test_pipeline, **dataset))
