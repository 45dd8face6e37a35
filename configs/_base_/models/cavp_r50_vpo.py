# CAVP for VPO: 21 classes and background, output stride 8 (the third stage
# keeps its resolution as well), and three seconds of stereo sound as 300 x 64
# mel bands for a ResNet-18.
_base_ = './cavp_r50.py'

model = dict(
    backbone=dict(
        strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4), contract_dilation=True
    ),
    audio_frontend=dict(num_frames=300),
    audio_backbone=dict(
        _delete_=True,
        type='AudioResNet',
        depth=18,
        in_channels=2,
        num_stages=4,
        out_indices=(3,),
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        norm_eval=False,
        style='pytorch',
        embedding_channels=304,
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18'),
    ),
    sound_bank=dict(samples=48000, capacity=8),
    decode_head=dict(num_classes=22),
)
