# AVSegFormer* (CPM's baseline, Tables 2 and 4) on AVSBench-Semantic at the
# original resolution, trained as CPM is: 532 iterations per epoch, 53,200 in
# 100 epochs.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/avss.py',
    '../_base_/models/avsegformer_star_r50.py',
    '../_base_/schedules/adamw_poly_100e.py',
]
