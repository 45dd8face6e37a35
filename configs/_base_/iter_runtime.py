# default_runtime for trainings that count iterations instead of epochs: the
# log and the checkpoints do so as well.
_base_ = './default_runtime.py'

log_processor = dict(by_epoch=False)
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=5000),
)
