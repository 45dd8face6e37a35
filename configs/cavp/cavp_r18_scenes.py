# CAVP on sounding scenes, small enough to learn on a CPU in minutes, with the
# schedule of avmask2former_r18_scenes: AdamW from scratch, 365 iterations per
# epoch.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/sounding_scenes_demo.py',
    '../_base_/models/cavp_r18_tiny.py',
    '../_base_/schedules/adamw_poly_scenes_2e.py',
]
