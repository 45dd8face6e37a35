# AVSBench-Object S4: the protocol of the first block of the CPM paper's
# Table 1. Frames and masks are distributed at 224 x 224 and used as they are.
# Training sees the one labelled frame of each of the 3,452 clips, 216
# iterations of 16 per epoch.
_base_ = '../tta.py'
dataset_type = 'AVSBenchObjectDataset'
data_root = 'data/AVSBench-Object/Single-source'
crop_size = (224, 224)

train_pipeline = [
    dict(type='LoadFrameFromFile'),
    dict(type='LoadAudioFromFile'),
    dict(type='CutAudioToFrame'),
    dict(type='LoadBinaryAnnotations'),
    dict(type='RecordSoundingClasses'),
    dict(type='RandomRescale', ratio_range=(0.5, 2.0)),
    # Frames smaller than the crop are padded by the model's data
    # preprocessor.
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=1.0),
    dict(type='RandomFlip', prob=0.5),
    dict(type='SwapStereoOnFlip'),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackAVSInputs'),
]
test_pipeline = [
    dict(type='LoadFrameFromFile'),
    dict(type='LoadAudioFromFile'),
    dict(type='CutAudioToFrame'),
    dict(type='LoadBinaryAnnotations'),
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
        subset='s4',
        split='train',
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
        subset='s4',
        split='val',
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
        subset='s4',
        split='test',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)

val_evaluator = [
    dict(type='AVSBenchJFMetric'),
    dict(type='DatasetIoUFMetric'),
]
test_evaluator = [
    dict(type='AVSBenchJFMetric'),
    dict(type='DatasetIoUFMetric'),
]
