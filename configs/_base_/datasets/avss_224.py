# AVSBench-Semantic at 224 x 224: the protocol of the third block of the CPM
# paper's Table 1. Frames and label maps are resized, whatever their ratio, and
# scored at that size; the legacy scores are those of AVSBench's own code.
_base_ = './avss.py'
size = (224, 224)

load = [*_base_.load, dict(type='ResizeAsOriginal', size=size)]
crop = dict(type='RandomCrop', crop_size=size, cat_max_ratio=1.0)
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

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

val_evaluator = [
    dict(type='AVSSLegacyMetric'),
    # At another size than Tables 2 to 4: the scores are dataset_224/mIoU etc.
    dict(type='DatasetIoUFMetric', size=size),
    dict(type='CoverageMetric'),
]
test_evaluator = val_evaluator
