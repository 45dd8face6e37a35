# Image backbone PVTv2-b5, which TPAVI, AVSegFormer, CAVP and COMBO report
# beside ResNet-50. A config takes it in place of its own by
#   model = dict(
#       backbone=_base_.pvt_v2_b5,
#       decode_head=dict(in_channels=_base_.pvt_v2_b5_channels),
#   )
pvt_v2_b5_channels = [64, 128, 320, 512]
pvt_v2_b5 = dict(
    _delete_=True,
    type='PVTv2',
    embed_dims=64,
    num_layers=[3, 6, 40, 3],
    num_heads=[1, 2, 5, 8],
    mlp_ratios=[4, 4, 4, 4],
    sr_ratios=[8, 4, 2, 1],
    out_indices=(0, 1, 2, 3),
    drop_path_rate=0.1,
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://github.com/whai362/PVT/releases/download/v2/'
        'pvt_v2_b5.pth',
    ),
)
