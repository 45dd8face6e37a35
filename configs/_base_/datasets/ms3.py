# AVSBench-Object MS3: the protocol of the second block of the CPM paper's
# Table 1. Frames and masks are distributed at 224 x 224 and used as they are.
# Training sees all 1,480 labelled frames of the 296 clips, as CAVP does, 93
# iterations of 16 per epoch.
dataset_type = 'AVSBenchObjectDataset'
data_root = 'data/AVSBench-Object/Multi-sources'
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

train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    # Workers are started anew in every epoch, and learn it that way.
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        subset='ms3',
        split='train',
        frame_sampling='all',
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
        subset='ms3',
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
        subset='ms3',
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
