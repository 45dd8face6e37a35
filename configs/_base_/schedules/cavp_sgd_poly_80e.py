# CAVP's recipe: SGD for the vision with a rate of 1e-3, ten times that for the
# segmentation layers, polynomial decay of power 0.9 per iteration to 1e-8;
# Adam of the constant rate 1e-3 for the audio backbone; 80 epochs of batch 16.
max_epochs = 80
train_cfg = dict(
    type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=5
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

fast = dict(lr_mult=10.0, decay_mult=1.0)
fast_no_decay = dict(lr_mult=10.0, decay_mult=0.0)
plain = dict(lr_mult=1.0, decay_mult=1.0)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGDAdam', lr=1e-3, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(
        # Keys match as substrings and the longest wins.
        custom_keys={
            'audio_backbone': dict(
                lr_mult=1.0,
                decay_mult=0.0,
                algorithm='adam',
                constant_lr=True,
            ),
            'decode_head.aspp': fast,
            'decode_head.aspp.norm': fast_no_decay,
            'decode_head.aspp.branch_norm': fast_no_decay,
            'decode_head.aspp.pool_norm': fast_no_decay,
            'decode_head.reduce': fast,
            'decode_head.reduce.bn': fast_no_decay,
            'decode_head.last_conv': fast,
            'decode_head.last_conv.0.bn': fast_no_decay,
            'decode_head.last_conv.1.bn': fast_no_decay,
            'decode_head.classifier': fast,
            'decode_head.classifier.bias': fast_no_decay,
            'decode_head.visual_projector': plain,
            'decode_head.fusion': plain,
        },
        # What is left is the image backbone.
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
    ),
)
param_scheduler = [
    dict(
        type='GroupPolyLR',
        eta_min=1e-8,
        power=0.9,
        begin=0,
        end=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]
# --auto-scale-lr: the rate above is meant for 16 frames per step.
auto_scale_lr = dict(enable=False, base_batch_size=16)
