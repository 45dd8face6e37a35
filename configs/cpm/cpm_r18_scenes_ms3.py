# CPM on sounding scenes in the layout of MS3: sounding or not.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/scenes_ms3.py',
    '../_base_/models/cpm_r18_tiny.py',
    '../_base_/schedules/adamw_poly_scenes.py',
]

model = dict(decode_head=dict(num_classes=2))
default_hooks = dict(checkpoint=dict(save_best='avsbench_original/JF'))
