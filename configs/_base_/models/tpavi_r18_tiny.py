# TPAVI in a size that a laptop trains in minutes from scratch: ResNet-18 and
# VGGish at a fraction of their widths, 64 channels, 96 x 96 frames. VGGish is
# trained, with batch normalization, which it needs without pretrained weights,
# and without the matching loss: while nothing is segmented yet, it draws the
# sounds to one constant, and the embedding of a VGGish that follows is zero
# for all of them after one epoch.
_base_ = ['./tpavi_r50.py']

num_classes = 9

model = dict(
    data_preprocessor=dict(size=(96, 96)),
    backbone=dict(
        depth=18,
        base_channels=32,
        stem_channels=32,
        norm_cfg=dict(type='BN'),
        init_cfg=None,
    ),
    audio_backbone=dict(
        base_channels=16,
        fc_channels=256,
        norm_cfg=dict(type='BN'),
        frozen=False,
        init_cfg=None,
    ),
    decode_head=dict(
        in_channels=[32, 64, 128, 256],
        channels=64,
        num_classes=num_classes,
        norm_cfg=dict(type='BN'),
        loss_matching=None,
    ),
)
