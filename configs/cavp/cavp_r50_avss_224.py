# CAVP on AVSBench-Semantic at 224 x 224 (CPM, Table 1, third block); frames
# are squashed to that size, in training as well.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/avss_224.py',
    '../_base_/models/cavp_r50.py',
    '../_base_/schedules/cavp_sgd_poly_80e.py',
]

model = dict(data_preprocessor=dict(size=(224, 224)))
train_pipeline = [*_base_.load, *_base_.flip, _base_.pack]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
default_hooks = dict(checkpoint=dict(save_best='avss_legacy/mIoU'))
