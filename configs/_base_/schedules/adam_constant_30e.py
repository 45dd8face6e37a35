# As adam_constant_15e, with the 30 epochs of AVSBench's program for MS3.
_base_ = './adam_constant_15e.py'
max_epochs = 30
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [dict(_base_.param_scheduler[0], end=max_epochs)]
