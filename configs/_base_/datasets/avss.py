# AVSBench-Semantic at original resolution: the protocol of the CPM paper's
# Tables 2, 4 and 5 (Sections 4.3 and 4.5). Training sees one random labelled
# frame of each of the 8,498 clips per epoch, 532 iterations of 16; testing
# scores every labelled frame at its own size.
_base_ = '../tta.py'
dataset_type = 'AVSBenchSemanticDataset'
data_root = 'data/AVSBench-Semantic'
crop_size = (512, 512)

train_pipeline = [
    dict(type='LoadFrameFromFile'),
    dict(type='LoadAudioFromFile'),
    dict(type='CutAudioToFrame'),
    dict(type='LoadAVSAnnotations'),
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
    dict(type='LoadAVSAnnotations'),
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
