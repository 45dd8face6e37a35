# CAVP's recipe for AVSBench-Object: 60 epochs.
_base_ = './cavp_sgd_poly_80e.py'
max_epochs = 60
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [dict(_base_.param_scheduler[0], end=max_epochs)]
