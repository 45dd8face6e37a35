# AVSegFormer in a size that a laptop trains in minutes from scratch:
# ResNet-18 and VGGish at a fraction of their widths, 64 channels, 20 queries,
# 96 x 96 frames. VGGish gets batch normalization and is trained: without
# pretrained weights it has nothing to tell.
_base_ = ['./avsegformer_r50.py']

num_classes = 9
channels = 64
num_queries = 20
attention_cfg = dict(embed_dims=channels)
layer_cfg = dict(
    self_attn_cfg=attention_cfg,
    cross_attn_cfg=attention_cfg,
    ffn_cfg=dict(embed_dims=channels, feedforward_channels=256),
)

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
        num_classes=num_classes,
        channels=channels,
        num_queries=num_queries,
        mlp_channels=256,
        query_generator=dict(num_layers=3, layer_cfg=layer_cfg),
        pixel_decoder=dict(
            norm_cfg=dict(num_groups=8),
            encoder=dict(
                num_layers=2,
                layer_cfg=dict(
                    self_attn_cfg=attention_cfg, ffn_cfg=layer_cfg['ffn_cfg']
                ),
            ),
            positional_encoding=dict(num_feats=channels // 2),
        ),
        decoder=dict(num_layers=3, layer_cfg=layer_cfg),
    ),
)
