# AVSBench-Object S4: the protocol of the first block of the CPM paper's
# Table 1. Frames and masks are distributed at 224 x 224 and used as they are.
# Training sees the one labeled frame of each of the 3,452 clips, 216
# iterations of 16 per epoch.
_base_ = './avs_default.py'
dataset_type = 'AVSBenchObjectDataset'
data_root = 'data/AVSBench-Object/Single-source'
crop_size = (224, 224)

load = [
    dict(type='LoadFrameFromFile'),
    dict(type='LoadAudioFromFile'),
    dict(type='CutAudioToFrame'),
    dict(type='LoadBinaryAnnotations'),
    dict(type='RecordSoundingClasses'),
]
crop = dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=1.0)
train_pipeline = [
    *load,
    _base_.rescale,
    crop,
    *_base_.flip,
    _base_.distort,
    _base_.pack,
]
test_pipeline = [*load, _base_.pack]
tta_pipeline = [*load, _base_.tta_pipeline[-1]]

dataset = dict(type=dataset_type, data_root=data_root, subset='s4')
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, **dataset))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline, **dataset))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline, **dataset))

val_evaluator = [dict(type='AVSBenchJFMetric'), dict(type='DatasetIoUFMetric')]
test_evaluator = val_evaluator
