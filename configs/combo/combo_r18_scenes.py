# COMBO on sounding scenes, small enough to learn on a CPU in minutes: 2 clips
# of five frames per step. From scratch, hence one higher rate for all parts.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/sounding_scenes_demo_clips.py',
    '../_base_/models/combo_r18_tiny.py',
    '../_base_/schedules/adamw_poly_scenes_2e.py',
]

auto_scale_lr = dict(base_batch_size=2)
