# AVSegFormer (Gao et al., AAAI 2024) with ResNet-50, at the sizes of the
# published configs, for frames of 224 x 224. Every size is stated once here.
num_classes = 71
channels = 256
num_queries = 300
dropout = 0.1

attention_cfg = dict(
    embed_dims=channels, num_heads=8, dropout_layer=None, batch_first=True
)
positional_encoding = dict(num_feats=channels // 2)

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
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        norm_eval=False,
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
    ),
    # One second of mono audio at 16 kHz as 96 x 64 log-mel energies.
    audio_frontend=dict(type='LogMelFrontend'),
    audio_backbone=dict(
        type='VGGish',
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
        type='AVSegFormerHead',
        in_channels=[256, 512, 1024, 2048],
        num_classes=num_classes,
        audio_channels=128,
        channels=channels,
        num_queries=num_queries,
        mlp_channels=2048,
        query_generator=dict(
            type='AudioQueryGenerator',
            num_layers=6,
            layer_cfg=dict(
                self_attn_cfg=dict(attention_cfg, bias=False),
                cross_attn_cfg=dict(attention_cfg, bias=False),
                ffn_cfg=dict(
                    embed_dims=channels,
                    feedforward_channels=1024,
                    act_cfg=dict(type='GELU'),
                ),
            ),
        ),
        pixel_decoder=dict(
            type='AVSegFormerPixelDecoder',
            norm_cfg=dict(type='GN', num_groups=32),
            encoder=dict(
                num_layers=6,
                layer_cfg=dict(
                    self_attn_cfg=dict(
                        embed_dims=channels,
                        num_heads=8,
                        num_levels=3,
                        num_points=4,
                        dropout=dropout,
                        batch_first=True,
                    ),
                    ffn_cfg=dict(
                        embed_dims=channels,
                        feedforward_channels=2048,
                        ffn_drop=dropout,
                        act_cfg=dict(type='GELU'),
                    ),
                ),
            ),
            positional_encoding=positional_encoding,
        ),
        decoder=dict(
            num_layers=6,
            layer_cfg=dict(
                self_attn_cfg=dict(
                    attention_cfg, attn_drop=dropout, proj_drop=dropout
                ),
                cross_attn_cfg=dict(
                    attention_cfg, attn_drop=dropout, proj_drop=dropout
                ),
                ffn_cfg=dict(
                    embed_dims=channels,
                    feedforward_channels=2048,
                    ffn_drop=dropout,
                    act_cfg=dict(type='GELU'),
                ),
            ),
        ),
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
        loss_mix=dict(type='ForegroundDiceLoss', loss_weight=0.1),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
