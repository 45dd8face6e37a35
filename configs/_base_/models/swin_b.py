# Image backbone Swin-B, pretrained on ImageNet-22k at 384 x 384. A config
# takes it in place of its own by
#   model = dict(
#       backbone=_base_.swin_b,
#       decode_head=dict(in_channels=_base_.swin_b_channels),
#   )
swin_b_channels = [128, 256, 512, 1024]
swin_b = dict(
    _delete_=True,
    type='SwinTransformer',
    pretrain_img_size=384,
    embed_dims=128,
    depths=[2, 2, 18, 2],
    num_heads=[4, 8, 16, 32],
    window_size=12,
    mlp_ratio=4,
    out_indices=(0, 1, 2, 3),
    drop_path_rate=0.3,
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/'
        'pretrain/swin/swin_base_patch4_window12_384_22k_20220317-'
        'e5c09f74.pth',
    ),
)
