# COMBO's schedule: AdamW of rate 1e-4 and weight decay 0.05, a tenth of the
# rate for pretrained image backbones, gradients clipped, polynomial decay of
# power 0.9 over 90,000 iterations without warm-up. No decay on norms and
# embeddings. Evaluation every 5,000 iterations. Goes with iter_runtime.py.
max_iters = 90000
val_interval = 5000
train_cfg = dict(
    type='IterBasedTrainLoop', max_iters=max_iters, val_interval=val_interval
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

no_decay = dict(lr_mult=1.0, decay_mult=0.0)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05),
    clip_grad=dict(max_norm=0.01, norm_type=2),
    paramwise_cfg=dict(
        # Keys match as substrings: 'backbone' also means maskige_backbone.
        custom_keys={
            'backbone': dict(lr_mult=0.1, decay_mult=1.0),
            'query_embed': no_decay,
            'query_feat': no_decay,
            'level_embed': no_decay,
            'audio_pos_embed': no_decay,
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
        end=max_iters,
        by_epoch=False,
    )
]
# --auto-scale-lr: the rate above is meant for 8 clips per step.
auto_scale_lr = dict(enable=False, base_batch_size=8)
