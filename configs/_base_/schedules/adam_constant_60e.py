# As adam_constant_15e, with the 60 epochs of AVSBench's program for AVSS,
# which it validates every second epoch.
_base_ = './adam_constant_15e.py'
max_epochs = 60
train_cfg = dict(max_epochs=max_epochs, val_interval=2)
param_scheduler = [dict(_base_.param_scheduler[0], end=max_epochs)]
