# AVSegFormer* (CPM, Table 4, row 1): what AVSegFormer does with the sound, on
# Mask2Former. The audio decoder of avmask2former_r50 and its pyramid give way
# to one token of a frozen VGGish and six layers of query generator.
_base_ = ['./avmask2former_r50.py']

channels = 256
audio_attention_cfg = dict(
    embed_dims=channels,
    num_heads=8,
    dropout_layer=None,
    batch_first=True,
    bias=False,
)

model = dict(
    # One second of mono audio at 16 kHz as 96 x 64 log-mel energies.
    audio_frontend=dict(_delete_=True, type='LogMelFrontend'),
    audio_backbone=dict(out_indices=(), with_embedding=True, frozen=True),
    audio_neck=None,
    decode_head=dict(
        type='AVSegFormerStarHead',
        audio_channels=128,
        audio_query_decoder=dict(
            _delete_=True,
            type='AudioQueryGenerator',
            num_layers=6,
            layer_cfg=dict(
                self_attn_cfg=audio_attention_cfg,
                cross_attn_cfg=audio_attention_cfg,
                ffn_cfg=dict(
                    embed_dims=channels,
                    feedforward_channels=1024,
                    act_cfg=dict(type='GELU'),
                ),
            ),
        ),
        loss_mix=dict(type='ForegroundDiceLoss', loss_weight=0.1),
    ),
)
