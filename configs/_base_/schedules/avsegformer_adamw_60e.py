# avsegformer_adamw_30e in 60 epochs, for MS3.
_base_ = './avsegformer_adamw_30e.py'
max_epochs = 60
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [dict(_base_.param_scheduler[0], end=max_epochs)]
