# CAVP on VPO-MSMI at the original resolution, stereo (CPM, Table 3).
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/vpo_msmi.py',
    '../_base_/datasets/cavp_vpo_augmentation.py',
    '../_base_/models/cavp_r50_vpo.py',
    '../_base_/schedules/cavp_sgd_poly_80e.py',
]

train_pipeline = [
    *_base_.load,
    *_base_.flip,
    _base_.cavp_rescale,
    _base_.crop,
    _base_.cavp_distort,
    _base_.pack,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(weight_decay=5e-4))
