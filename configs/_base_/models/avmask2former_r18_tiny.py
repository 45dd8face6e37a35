# The audio-first Mask2Former in a size that a laptop trains in minutes from
# scratch: ResNet-18 and VGGish at a fraction of their widths, 64 channels,
# 20 queries, 96 x 96 frames. VGGish gets batch normalization, which it needs
# without pretrained weights.
_base_ = ['./avmask2former_r50.py']

num_classes = 9
channels = 64
attention_cfg = dict(embed_dims=channels)
decoder_layer_cfg = dict(
    self_attn_cfg=attention_cfg,
    cross_attn_cfg=attention_cfg,
    ffn_cfg=dict(embed_dims=channels, feedforward_channels=256),
)
positional_encoding = dict(num_feats=channels // 2)

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
        base_channels=16, norm_cfg=dict(type='BN'), init_cfg=None
    ),
    audio_neck=dict(in_channels=[32, 64, 128], out_channels=channels),
    decode_head=dict(
        in_channels=[32, 64, 128, 256],
        feat_channels=channels,
        out_channels=channels,
        num_classes=num_classes,
        num_queries=20,
        audio_query_decoder=dict(
            layer_cfg=decoder_layer_cfg,
            positional_encoding=positional_encoding,
        ),
        pixel_decoder=dict(
            norm_cfg=dict(num_groups=8),
            encoder=dict(
                num_layers=2,
                layer_cfg=dict(
                    self_attn_cfg=attention_cfg,
                    ffn_cfg=dict(
                        embed_dims=channels, feedforward_channels=256
                    ),
                ),
            ),
            positional_encoding=positional_encoding,
        ),
        positional_encoding=positional_encoding,
        transformer_decoder=dict(num_layers=3, layer_cfg=decoder_layer_cfg),
        train_cfg=dict(num_points=1024),
    ),
)
