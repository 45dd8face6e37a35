# CAVP at the sizes of its code: DeepLabV3+ on a deep-stem ResNet-50 of output
# stride 16, whose pixels attend to one audio token of as many channels. Every
# size is stated once here.
num_classes = 71
audio_channels = 304
# One second of mono audio at 16 kHz as 96 x 64 mel bands in dB.
audio_cfg = dict(sample_rate=16000, num_frames=96)

norm_cfg = dict(type='SyncBN', requires_grad=True)

model = dict(
    type='CAVPEncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(512, 512),
        # Frames of any size are tested as they are.
        test_cfg=dict(size_divisor=1),
    ),
    backbone=dict(
        type='ResNetV1c',
        depth=50,
        stem_channels=128,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        # The last stage keeps its resolution; its 3 x 3 convolutions are
        # dilated by 2, 4 and 8.
        strides=(1, 2, 2, 1),
        dilations=(1, 1, 1, 2),
        multi_grid=(2, 4, 8),
        norm_cfg=norm_cfg,
        norm_eval=False,
        style='pytorch',
        init_cfg=dict(
            type='Pretrained', checkpoint='open-mmlab://resnet50_v1c'
        ),
    ),
    audio_frontend=dict(type='MelDecibelFrontend', **audio_cfg),
    audio_backbone=dict(
        type='VGGish',
        in_channels=1,
        out_indices=(),
        with_embedding=True,
        fc_channels=4096,
        embedding_channels=audio_channels,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/harritaylor/torchvggish/releases/'
            'download/v0.1/vggish-10086976.pth',
        ),
    ),
    sound_bank=dict(
        type='SoundBank',
        samples=16000,
        capacity=16,
        start_epoch=1,
        swap_rate=0.5,
    ),
    decode_head=dict(
        type='CAVPHead',
        in_channels=[256, 512, 1024, 2048],
        num_classes=num_classes,
        audio_channels=audio_channels,
        aspp_channels=256,
        low_channels=48,
        projector_channels=256,
        channels=256,
        num_heads=4,
        dilations=(6, 12, 18),
        norm_cfg=norm_cfg,
        loss_decode=dict(
            type='CrossEntropyLoss', avg_non_ignore=True, loss_weight=1.0
        ),
        loss_contrast=dict(
            type='PixelContrastiveLoss',
            temperature=0.1,
            max_views=512,
            loss_weight=1.0,
        ),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
