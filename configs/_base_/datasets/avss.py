# AVSBench-Semantic at original resolution: the protocol of the CPM paper's
# Tables 2, 4 and 5 (Sections 4.3 and 4.5). Training sees one random labelled
# frame of each of the 8,498 clips per epoch, 532 iterations of 16; testing
# scores every labelled frame at its own size.
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

# python tools/test.py CONFIG CHECKPOINT --tta: class scores averaged over
# scales and mirrored frames, whose stereo channels are swapped with them. The
# label is loaded once; the view that shows the frame as it is keeps it.
tta_model = dict(type='AVSegTTAModel')
tta_pipeline = [
    dict(type='LoadFrameFromFile'),
    dict(type='LoadAudioFromFile'),
    dict(type='CutAudioToFrame'),
    dict(type='LoadAVSAnnotations'),
    dict(type='RecordSoundingClasses'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale_factor=factor, keep_ratio=True)
                for factor in (1.0, 0.75, 1.25)
            ],
            [
                dict(type='RandomFlip', prob=prob, direction='horizontal')
                for prob in (0.0, 1.0)
            ],
            [dict(type='SwapStereoOnFlip')],
            [dict(type='PackAVSInputs')],
        ],
    ),
]

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
