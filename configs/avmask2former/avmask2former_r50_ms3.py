# Audio-first Mask2Former on AVSBench-Object MS3 at 224 x 224
# (Table 1, second block).
# 93 iterations per epoch, 9,300 in 100 epochs.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/ms3.py',
    '../_base_/models/avmask2former_r50.py',
    '../_base_/schedules/adamw_poly_100e.py',
]

model = dict(
    data_preprocessor=dict(size=(224, 224)),
    decode_head=dict(num_classes=2),
)
default_hooks = dict(checkpoint=dict(save_best='avsbench/JF'))
