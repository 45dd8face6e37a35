# COMBO in the size of avmask2former_r18_tiny, from scratch: VGGish with batch
# normalization, a sixteenth of the width of its fully connected part, and
# trained, since it has no pretrained weights to keep.
_base_ = ['./avmask2former_r18_tiny.py']

channels = 64
audio_channels = 128

model = dict(
    type='COMBOEncoderDecoder',
    audio_frontend=dict(_delete_=True, type='LogMelFrontend'),
    audio_backbone=dict(with_embedding=True, fc_channels=256, out_indices=()),
    audio_neck=None,
    decode_head=dict(
        type='COMBOHead',
        fusion=dict(
            type='BilateralFusion',
            visual_dims=channels,
            audio_dims=audio_channels,
            embed_dims=channels,
            num_heads=8,
        ),
        audio_query_decoder=dict(
            _delete_=True,
            type='AudioQueryMLP',
            in_channels=audio_channels,
            hidden_channels=256,
            out_channels=channels,
        ),
        loss_frame=dict(type='InterFrameLoss', loss_weight=10.0),
    ),
)
