# VPO-MS: several sounding objects of different classes.
_base_ = './vpo_ss.py'
train_dataloader = dict(dataset=dict(subset='ms'))
val_dataloader = dict(dataset=dict(subset='ms'))
test_dataloader = dict(dataset=dict(subset='ms'))
