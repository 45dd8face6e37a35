# What VPO asks of a model: 21 classes and background, and three seconds of
# stereo sound as 300 x 256 magnitudes, heard by a ResNet-18 (CPM, appendix A;
# the scale in dB is CAVP's). Levels of stride 8 to 32; the finest is the dense
# map. A config merges it by: model = _base_.vpo_audio
vpo_audio = dict(
    audio_frontend=dict(num_frames=300, compression='db'),
    audio_backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=18,
        in_channels=2,
        num_stages=4,
        out_indices=(1, 2, 3),
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        norm_eval=False,
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18'),
    ),
    audio_neck=dict(in_channels=[128, 256, 512]),
    decode_head=dict(num_classes=22),
)
