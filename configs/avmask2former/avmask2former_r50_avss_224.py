# Audio-first Mask2Former on AVSBench-Semantic at 224 x 224
# (Table 1, third block).
# 532 iterations per epoch, 53,200 in 100 epochs.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/avss_224.py',
    '../_base_/models/avmask2former_r50.py',
    '../_base_/schedules/adamw_poly_100e.py',
]

model = dict(data_preprocessor=dict(size=(224, 224)))
default_hooks = dict(checkpoint=dict(save_best='avss_legacy/mIoU'))
