# Audio-first Mask2Former with a linear classifier: the baseline of the CPM
# paper's Table 4, at the paper's sizes. Every size is stated once here.
num_classes = 71
channels = 256
# One second of mono audio at 16 kHz as 96 x 256 magnitudes.
audio_cfg = dict(
    sample_rate=16000,
    n_fft=512,
    win_length=400,
    hop_length=160,
    num_frames=96,
    compression='vggish',
)

norm_cfg = dict(type='SyncBN', requires_grad=True)
attention_cfg = dict(
    embed_dims=channels,
    num_heads=8,
    attn_drop=0.0,
    proj_drop=0.0,
    dropout_layer=None,
    batch_first=True,
)
decoder_layer_cfg = dict(
    self_attn_cfg=attention_cfg,
    cross_attn_cfg=attention_cfg,
    ffn_cfg=dict(
        embed_dims=channels,
        feedforward_channels=2048,
        num_fcs=2,
        act_cfg=dict(type='ReLU', inplace=True),
        ffn_drop=0.0,
        dropout_layer=None,
        add_identity=True,
    ),
)
positional_encoding = dict(num_feats=channels // 2, normalize=True)

model = dict(
    type='AVEncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(512, 512),
        test_cfg=dict(size_divisor=32),
    ),
    backbone=dict(
        type='ResNet',
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        norm_cfg=norm_cfg,
        norm_eval=False,
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
    ),
    audio_frontend=dict(type='AudioFrontend', **audio_cfg),
    audio_backbone=dict(
        type='VGGish',
        in_channels=1,
        out_indices=(1, 2, 3),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/harritaylor/torchvggish/releases/'
            'download/v0.1/vggish-10086976.pth',
        ),
    ),
    audio_neck=dict(
        type='FPN',
        in_channels=[128, 256, 512],
        out_channels=channels,
        num_outs=3,
    ),
    decode_head=dict(
        type='AVMask2FormerHead',
        in_channels=[256, 512, 1024, 2048],
        feat_channels=channels,
        out_channels=channels,
        num_classes=num_classes,
        num_queries=100,
        num_transformer_feat_level=3,
        audio_query_decoder=dict(
            type='AudioTransformerDecoder',
            num_layers=3,
            num_levels=3,
            layer_cfg=decoder_layer_cfg,
            positional_encoding=positional_encoding,
        ),
        pixel_decoder=dict(
            type='DeformablePixelDecoder',
            num_outs=3,
            norm_cfg=dict(type='GN', num_groups=32),
            act_cfg=dict(type='ReLU'),
            encoder=dict(
                num_layers=6,
                layer_cfg=dict(
                    self_attn_cfg=dict(
                        embed_dims=channels,
                        num_heads=8,
                        num_levels=3,
                        num_points=4,
                        dropout=0.0,
                        batch_first=True,
                    ),
                    ffn_cfg=dict(
                        embed_dims=channels,
                        feedforward_channels=1024,
                        num_fcs=2,
                        ffn_drop=0.0,
                        act_cfg=dict(type='ReLU', inplace=True),
                    ),
                ),
            ),
            positional_encoding=positional_encoding,
        ),
        positional_encoding=positional_encoding,
        transformer_decoder=dict(
            return_intermediate=True, num_layers=9, layer_cfg=decoder_layer_cfg
        ),
        loss_cls=dict(
            type='mmdet.CrossEntropyLoss',
            use_sigmoid=False,
            loss_weight=2.0,
            reduction='mean',
            # How often each class occurs (a list or file), or, in place of
            # the dict, a weight per class: rare ones can weigh more.
            class_weight=dict(frequencies=None, power=0.5),
        ),
        loss_mask=dict(
            type='mmdet.CrossEntropyLoss',
            use_sigmoid=True,
            loss_weight=5.0,
            reduction='mean',
        ),
        loss_dice=dict(
            type='mmdet.DiceLoss',
            use_sigmoid=True,
            activate=True,
            naive_dice=True,
            eps=1.0,
            loss_weight=5.0,
            reduction='mean',
        ),
        train_cfg=dict(
            num_points=12544,
            oversample_ratio=3.0,
            importance_sample_ratio=0.75,
            assigner=dict(
                type='FiniteHungarianAssigner',
                match_costs=[
                    dict(type='mmdet.ClassificationCost', weight=2.0),
                    dict(
                        type='mmdet.CrossEntropyLossCost',
                        weight=5.0,
                        use_sigmoid=True,
                    ),
                    dict(
                        type='mmdet.DiceCost',
                        weight=5.0,
                        pred_act=True,
                        eps=1.0,
                    ),
                ],
            ),
            sampler=dict(type='mmdet.MaskPseudoSampler'),
        ),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
