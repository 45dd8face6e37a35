# Audio-first Mask2Former (CPM's baseline, Table 4) on AVSBench-Semantic at
# the original resolution. 8,498 training clips, one random labeled frame of
# each per epoch, batch 16: 532 iterations per epoch, 53,200 in 100 epochs.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/avss.py',
    '../_base_/models/avmask2former_r50.py',
    '../_base_/schedules/adamw_poly_100e.py',
]
