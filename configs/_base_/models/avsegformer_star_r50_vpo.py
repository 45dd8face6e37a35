# AVSegFormer* for VPO: 21 classes and background, and three seconds of stereo
# sound as 300 x 256 magnitudes, of which a ResNet-18 makes the token (CPM,
# appendix A; the scale in dB is CAVP's). It is trained, as CPM's is.
_base_ = './avsegformer_star_r50.py'

model = dict(
    audio_frontend=dict(
        _delete_=True,
        type='AudioFrontend',
        sample_rate=16000,
        n_fft=512,
        win_length=400,
        hop_length=160,
        num_frames=300,
        compression='db',
    ),
    audio_backbone=dict(
        _delete_=True,
        type='AudioResNet',
        depth=18,
        in_channels=2,
        num_stages=4,
        out_indices=(3,),
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        norm_eval=False,
        style='pytorch',
        embedding_channels=128,
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18'),
    ),
    decode_head=dict(num_classes=22),
)
