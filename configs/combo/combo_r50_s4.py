# COMBO on AVSBench-Object S4 at 224 x 224, without maskiges: 8 clips of five
# frames per step, of which the first is labeled; all enter the inter-frame
# loss. 90,000 iterations.
_base_ = [
    '../_base_/iter_runtime.py',
    '../_base_/datasets/s4_clips.py',
    '../_base_/models/combo_r50.py',
    '../_base_/schedules/adamw_poly_90k.py',
]

model = dict(decode_head=dict(num_classes=2))
train_dataloader = dict(batch_size=8)
default_hooks = dict(checkpoint=dict(save_best='avsbench/JF'))
