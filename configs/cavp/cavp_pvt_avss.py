# CAVP on AVSBench-Semantic at the original resolution, with PVTv2-b5 of
# output stride 32 in place of the dilated ResNet; 112 channels.
_base_ = ['./cavp_r50_avss.py', '../_base_/models/pvt_v2_b5.py']

model = dict(
    backbone=_base_.pvt_v2_b5,
    audio_backbone=dict(embedding_channels=112),
    decode_head=dict(
        in_channels=_base_.pvt_v2_b5_channels,
        audio_channels=112,
        aspp_channels=64,
    ),
)
