# AVSegFormer* in a size that a laptop trains in minutes from scratch: the
# image side is that of avmask2former_r18_tiny; VGGish is trained.
_base_ = ['./avmask2former_r18_tiny.py']

channels = 64
audio_attention_cfg = dict(
    embed_dims=channels,
    num_heads=8,
    dropout_layer=None,
    batch_first=True,
    bias=False,
)

model = dict(
    audio_frontend=dict(_delete_=True, type='LogMelFrontend'),
    audio_backbone=dict(out_indices=(), with_embedding=True, fc_channels=256),
    audio_neck=None,
    decode_head=dict(
        type='AVSegFormerStarHead',
        audio_channels=128,
        audio_query_decoder=dict(
            _delete_=True,
            type='AudioQueryGenerator',
            num_layers=3,
            layer_cfg=dict(
                self_attn_cfg=audio_attention_cfg,
                cross_attn_cfg=audio_attention_cfg,
                ffn_cfg=dict(
                    embed_dims=channels,
                    feedforward_channels=256,
                    act_cfg=dict(type='GELU'),
                ),
            ),
        ),
        loss_mix=dict(type='ForegroundDiceLoss', loss_weight=0.1),
    ),
)
