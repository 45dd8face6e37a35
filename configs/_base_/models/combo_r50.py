# COMBO at the sizes of its ResNet-50 configs: Mask2Former with a mask feature
# fused with VGGish's embedding of 0.96 s of sound. What is not said here is
# the same as in the audio-first Mask2Former: pixel decoder, decoder, losses.
_base_ = ['./avmask2former_r50.py']

num_classes = 71
channels = 256
audio_channels = 128

# Pretrained statistics and scales stay as they are (detectron2's FrozenBN).
frozen_norm_cfg = dict(type='BN', requires_grad=False)
# The second backbone of the published model, off here. A config takes it by
#   model = dict(maskige_backbone=_base_.model.backbone)
model = dict(
    type='COMBOEncoderDecoder',
    data_preprocessor=dict(size=(224, 224)),
    backbone=dict(norm_cfg=frozen_norm_cfg, norm_eval=True),
    audio_frontend=dict(_delete_=True, type='LogMelFrontend'),
    audio_backbone=dict(with_embedding=True, out_indices=(), frozen=True),
    audio_neck=None,
    decode_head=dict(
        type='COMBOHead',
        num_classes=num_classes,
        fusion=dict(
            type='BilateralFusion',
            visual_dims=channels,
            audio_dims=audio_channels,
            embed_dims=channels,
            num_heads=8,
            dropout=0.1,
        ),
        audio_query_decoder=dict(
            _delete_=True,
            type='AudioQueryMLP',
            in_channels=audio_channels,
            hidden_channels=4096,
            out_channels=channels,
        ),
        audio_broadcast='frame',
        loss_frame=dict(type='InterFrameLoss', loss_weight=10.0),
    ),
)
