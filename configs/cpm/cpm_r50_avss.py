# CPM on AVSBench-Semantic at the original resolution (Tables 2 and 4). 532
# iterations per epoch as in avmask2former_r50_avss, 53,200 in 100 epochs.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/avss.py',
    '../_base_/models/cpm_r50.py',
    '../_base_/schedules/adamw_poly_100e.py',
]
