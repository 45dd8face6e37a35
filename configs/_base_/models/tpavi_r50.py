# TPAVI with ResNet-50 as published for AVSBench-Semantic; tpavi_binary.py has
# what S4 and MS3 change. Batches are clips; VGGish is frozen. Every size is
# stated once here.
num_classes = 71
channels = 256
norm_cfg = dict(type='SyncBN', requires_grad=True)

model = dict(
    type='AVEncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(224, 224),
        test_cfg=dict(size_divisor=32),
    ),
    backbone=dict(
        type='ResNet',
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        norm_cfg=norm_cfg,
        norm_eval=False,
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
    ),
    audio_frontend=dict(type='LogMelFrontend'),
    audio_backbone=dict(
        type='VGGish',
        in_channels=1,
        out_indices=(),
        with_embedding=True,
        frozen=True,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/harritaylor/torchvggish/releases/'
            'download/v0.1/vggish-10086976.pth',
        ),
    ),
    decode_head=dict(
        type='TPAVIHead',
        in_channels=[256, 512, 1024, 2048],
        audio_channels=128,
        channels=channels,
        num_classes=num_classes,
        group_length=5,
        audio_bias=False,
        norm_cfg=norm_cfg,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
        loss_matching=dict(
            type='AudioVisualMatchingLoss',
            mask='hard',
            reduction='mean',
            loss_weight=0.5,
        ),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
