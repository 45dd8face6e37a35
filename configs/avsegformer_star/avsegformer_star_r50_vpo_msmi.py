# AVSegFormer* on VPO-MSMI at the original resolution, stereo (CPM, Table 3),
# trained as CPM is.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/vpo_msmi.py',
    '../_base_/models/avsegformer_star_r50_vpo.py',
    '../_base_/schedules/adamw_poly_100e.py',
]
