# TPAVI on sounding scenes, small enough to learn on a CPU in minutes: clips of
# five frames, two per batch; from scratch, hence the schedule of the others.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/sounding_scenes_demo_clips.py',
    '../_base_/models/tpavi_r18_tiny.py',
    '../_base_/schedules/adamw_poly_scenes_2e.py',
]

auto_scale_lr = dict(base_batch_size=2)
