# Sounding scenes, preset 'demo' (9 classes, 96 x 96 frames), written by
# tools/dataset_converters/make_sounding_scenes.py data/sounding_scenes_demo
# Training sees every labelled frame: 405 clips hold 2,916 of them, 365
# iterations of 8 per epoch.
_base_ = '../tta.py'
dataset_type = 'SoundingScenesDataset'
data_root = 'data/sounding_scenes_demo'

# Training and test scenes are drawn from the same world, so a flip is all the
# augmentation; sound is mono, which a flip does not change.
train_pipeline = [
    dict(type='LoadFrameFromFile'),
    dict(type='LoadAudioFromFile'),
    dict(type='CutAudioToFrame'),
    dict(type='LoadAVSAnnotations'),
    dict(type='RecordSoundingClasses'),
    dict(type='RandomFlip', prob=0.5),
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
    batch_size=8,
    num_workers=2,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        split='train',
        frame_sampling='all',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=2,
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
    batch_size=8,
    num_workers=2,
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
