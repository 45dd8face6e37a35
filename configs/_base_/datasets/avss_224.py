# AVSBench-Semantic at 224 x 224: the protocol of the third block of the CPM
# paper's Table 1. Frames and label maps are resized, whatever their ratio, and
# scored at that size; the legacy scores are those of AVSBench's own code.
_base_ = './avss.py'
size = (224, 224)

train_pipeline = [
    dict(type='LoadFrameFromFile'),
    dict(type='LoadAudioFromFile'),
    dict(type='CutAudioToFrame'),
    dict(type='LoadAVSAnnotations'),
    dict(type='RecordSoundingClasses'),
    dict(type='ResizeAsOriginal', size=size),
    dict(type='RandomRescale', ratio_range=(0.5, 2.0)),
    dict(type='RandomCrop', crop_size=size, cat_max_ratio=1.0),
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
    dict(type='ResizeAsOriginal', size=size),
    dict(type='PackAVSInputs'),
]
tta_pipeline = [*test_pipeline[:-1], _base_.tta_pipeline[-1]]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

val_evaluator = [
    dict(type='AVSSLegacyMetric'),
    # At another size than Tables 2 to 4: the scores are dataset_224/mIoU etc.
    dict(type='DatasetIoUFMetric', size=size),
    dict(type='CoverageMetric'),
]
test_evaluator = [
    dict(type='AVSSLegacyMetric'),
    dict(type='DatasetIoUFMetric', size=size),
    dict(type='CoverageMetric'),
]
