# Import mmcpm before any model of mmdet or mmseg; a child config must not
# set custom_imports again, it would replace this one.
custom_imports = dict(imports=['mmcpm'], allow_failed_imports=False)
default_scope = 'mmseg'

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
randomness = dict(seed=0)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=True),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # The best checkpoint is chosen on the validation split.
    checkpoint=dict(
        type='AtomicCheckpointHook',
        by_epoch=True,
        interval=1,
        max_keep_ckpts=2,
        save_best='dataset/mIoU',
        rule='greater',
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    batch_norm=dict(type='BatchNormSyncHook'),
    visualization=dict(type='AVSVisualizationHook'),
)
custom_hooks = [
    dict(type='EpochSeedHook'),
    dict(type='StabilityScoreHook'),
    dict(type='GradientShareHook', interval=100),
    dict(type='IdleLossHook', patience=500),
    dict(type='NonFiniteGuardHook'),
    dict(type='SampleReportHook'),
]

visualizer = dict(
    type='AVSLocalVisualizer',
    vis_backends=[dict(type='LocalVisBackend')],
    name='visualizer',
)
log_processor = dict(by_epoch=True)
log_level = 'INFO'
load_from = None
resume = False
