# CAVP on AVSBench-Semantic at the original resolution (CPM, Table 2).
# 532 iterations per epoch, 42,560 in 80 epochs.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/avss.py',
    '../_base_/models/cavp_r50.py',
    '../_base_/schedules/cavp_sgd_poly_80e.py',
]

train_pipeline = [
    *_base_.load,
    *_base_.flip,
    dict(
        type='RandomChoice',
        transforms=[
            [dict(type='Resize', scale_factor=factor, interpolation='bicubic')]
            for factor in (0.5, 0.75, 1.0)
        ],
    ),
    _base_.crop,
    _base_.pack,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
