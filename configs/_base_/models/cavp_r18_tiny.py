# CAVP in a size that a laptop trains in minutes from scratch: ResNet-18 and
# VGGish at a fraction of their widths, 64 channels, 96 x 96 frames, pixels of
# stride 4 and context of stride 16. VGGish gets batch normalization, which it
# needs without pretrained weights.
_base_ = ['./cavp_r50.py']

num_classes = 9
norm_cfg = dict(type='BN')

model = dict(
    data_preprocessor=dict(size=(96, 96)),
    backbone=dict(
        depth=18,
        base_channels=32,
        stem_channels=32,
        multi_grid=(2, 4),
        norm_cfg=norm_cfg,
        init_cfg=None,
    ),
    audio_backbone=dict(
        base_channels=16,
        fc_channels=256,
        embedding_channels=64,
        norm_cfg=norm_cfg,
        init_cfg=None,
    ),
    sound_bank=dict(capacity=8),
    decode_head=dict(
        in_channels=[32, 64, 128, 256],
        num_classes=num_classes,
        audio_channels=64,
        aspp_channels=48,
        low_channels=16,
        projector_channels=64,
        channels=64,
        dilations=(1, 2, 3),
        norm_cfg=norm_cfg,
        loss_contrast=dict(max_views=64),
    ),
)
