# COMBO on AVSBench-Object MS3 at 224 x 224, without maskiges: 8 clips of five
# labeled frames per step, 20,000 iterations, evaluated every 400.
_base_ = [
    '../_base_/iter_runtime.py',
    '../_base_/datasets/ms3_clips.py',
    '../_base_/models/combo_r50.py',
    '../_base_/schedules/adamw_poly_90k.py',
]

model = dict(decode_head=dict(num_classes=2))
train_dataloader = dict(batch_size=8)
max_iters = 20000
val_interval = 400
train_cfg = dict(max_iters=max_iters, val_interval=val_interval)
param_scheduler = [dict(_base_.param_scheduler[0], end=max_iters)]
default_hooks = dict(
    checkpoint=dict(save_best='avsbench/JF', interval=val_interval)
)
