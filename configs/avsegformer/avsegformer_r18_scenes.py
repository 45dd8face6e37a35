# AVSegFormer on sounding scenes, small enough to learn on a CPU in minutes:
# 2,916 labeled training frames, batch 8, 365 iterations per epoch. No frame
# sees another, so frames are drawn one by one. From scratch, hence the
# schedule of the others.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/sounding_scenes_demo.py',
    '../_base_/models/avsegformer_r18_tiny.py',
    '../_base_/schedules/adamw_poly_scenes_2e.py',
]
