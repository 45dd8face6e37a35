# CPM, appendix A: AdamW, rate and weight decay of 1e-4, polynomial decay
# of power 0.9 per iteration, 100 epochs of batch 16.
# Mask2Former's habits where the paper is silent, as mmseg's configs have them:
# a tenth of the rate for the pretrained backbones, no decay on the norms and
# embeddings of the heads, gradients clipped.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=100, val_interval=5)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

no_decay = dict(lr_mult=1.0, decay_mult=0.0)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=0.01, norm_type=2),
    paramwise_cfg=dict(
        # Keys match as substrings and the longest wins: 'backbone' means
        # both backbones.
        custom_keys={
            'backbone': dict(lr_mult=0.1, decay_mult=1.0),
            'query_embed': no_decay,
            'query_feat': no_decay,
            'level_embed': no_decay,
        },
        norm_decay_mult=0.0,
    ),
)
param_scheduler = [
    dict(
        type='PolyLR',
        eta_min=0,
        power=0.9,
        begin=0,
        end=100,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]
# --auto-scale-lr: the rate above is meant for 16 frames per step.
auto_scale_lr = dict(enable=False, base_batch_size=16)
