# Audio-first Mask2Former on AVSBench-Object S4 at 224 x 224
# (Table 1, first block).
# 216 iterations per epoch, 21,600 in 100 epochs.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/s4.py',
    '../_base_/models/avmask2former_r50.py',
    '../_base_/schedules/adamw_poly_100e.py',
]

model = dict(
    data_preprocessor=dict(size=(224, 224)),
    decode_head=dict(num_classes=2),
)
default_hooks = dict(checkpoint=dict(save_best='avsbench/JF'))
