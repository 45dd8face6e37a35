# adamw_poly_scenes in two epochs, for the quick start: the warm-up is the
# same, and the learning rate has decayed after the second epoch.
_base_ = './adamw_poly_scenes.py'
max_epochs = 2
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=max_epochs),
]
