# Two of the three epochs of adamw_poly_scenes, with the same warm-up: for the
# quick start, which they bring to within a few points of the full schedule.
_base_ = './adamw_poly_scenes.py'
max_epochs = 2
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=max_epochs),
]
