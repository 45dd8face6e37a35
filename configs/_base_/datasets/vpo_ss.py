# VPO-SS at original resolution, three seconds of stereo sound: the protocol of
# the CPM paper's Table 3. What VPO's files call 'val' is the test split here,
# as in the paper. It has no other, so a tenth of the training images is held
# out to choose the checkpoint by; the paper trains on all of them
# (holdout = 0 in training, and no validation).
_base_ = '../tta.py'
dataset_type = 'VPODataset'
data_root = 'data/VPO'
crop_size = (512, 512)
holdout = 0.1

train_pipeline = [
    dict(type='LoadFrameFromFile'),
    dict(type='LoadSoundSources', channels='stereo', seconds=3.0),
    dict(type='LoadTranslatedAnnotations'),
    dict(type='RecordSoundingClasses'),
    dict(type='RandomRescale', ratio_range=(0.5, 2.0)),
    # Images smaller than the crop are padded by the model's data
    # preprocessor.
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=1.0),
    dict(type='RandomFlip', prob=0.5),
    dict(type='SwapStereoOnFlip'),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackAVSInputs'),
]
test_pipeline = [
    dict(type='LoadFrameFromFile'),
    dict(type='LoadSoundSources', channels='stereo', seconds=3.0),
    dict(type='LoadTranslatedAnnotations'),
    dict(type='RecordSoundingClasses'),
    dict(type='PackAVSInputs'),
]
tta_pipeline = [*test_pipeline[:-1], *_base_.tta_pipeline]

train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    # Exact resuming needs workers that are started anew in every epoch.
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        subset='ss',
        split='train',
        holdout=holdout,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=False,
    # Rounding up would score some frames twice on several GPUs.
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        subset='ss',
        split='val',
        holdout=holdout,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        subset='ss',
        split='test',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)

val_evaluator = [
    dict(type='DatasetIoUFMetric'),
    dict(type='CoverageMetric'),
]
test_evaluator = [
    dict(type='DatasetIoUFMetric'),
    dict(type='CoverageMetric'),
]
