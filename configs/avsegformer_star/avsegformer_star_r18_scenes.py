# AVSegFormer* on sounding scenes, small enough to learn on a CPU in minutes:
# 2,916 labeled training frames, batch 8, 365 iterations per epoch. From
# scratch, hence one higher rate for all parts.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/sounding_scenes_demo.py',
    '../_base_/models/avsegformer_star_r18_tiny.py',
    '../_base_/schedules/adamw_poly_scenes_2e.py',
]
