# combo_r50_ms3 with PVTv2-b5 as its image backbone.
_base_ = ['./combo_r50_ms3.py', '../_base_/models/pvt_v2_b5.py']

model = dict(
    backbone=_base_.pvt_v2_b5,
    decode_head=dict(in_channels=_base_.pvt_v2_b5_channels),
)
