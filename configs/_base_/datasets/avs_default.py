# What the datasets have in common: pipelines, dataloaders and evaluators, at
# original resolution. A dataset that loads in another way writes its steps in
# the place of `load`, and its pipelines as they are here.
_base_ = '../tta.py'

load = [
    dict(type='LoadFrameFromFile'),
    dict(type='LoadAudioFromFile'),
    dict(type='CutAudioToFrame'),
    dict(type='LoadAVSAnnotations'),
    dict(type='RecordSoundingClasses'),
]
crop_size = (512, 512)
# Frames smaller than the crop are padded by the model's data preprocessor.
rescale = dict(type='RandomRescale', ratio_range=(0.5, 2.0))
crop = dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=1.0)
flip = [dict(type='RandomFlip', prob=0.5), dict(type='SwapStereoOnFlip')]
distort = dict(type='PhotoMetricDistortion')
pack = dict(type='PackAVSInputs')

train_pipeline = [*load, rescale, crop, *flip, distort, pack]
test_pipeline = [*load, pack]
tta_pipeline = [*load, *_base_.tta_pipeline]

train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    # Exact resuming needs workers that are started anew in every epoch.
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(split='train', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=False,
    # Rounding up would score some frames twice on several GPUs.
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(split='val', test_mode=True, pipeline=test_pipeline),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(split='test', test_mode=True, pipeline=test_pipeline),
)

val_evaluator = [dict(type='DatasetIoUFMetric'), dict(type='CoverageMetric')]
test_evaluator = val_evaluator
