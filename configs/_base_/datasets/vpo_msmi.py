# VPO-MSMI: also several instances of one class, which only stereo sound tells
# apart. It takes some of its images from VPO-MS.
_base_ = './vpo_ss.py'
train_dataloader = dict(dataset=dict(subset='msmi'))
val_dataloader = dict(dataset=dict(subset='msmi'))
test_dataloader = dict(dataset=dict(subset='msmi'))
