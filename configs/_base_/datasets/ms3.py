# AVSBench-Object MS3: the protocol of the second block of the CPM paper's
# Table 1. Frames and masks are distributed at 224 x 224 and used as they are.
# Training sees all 1,480 labeled frames of the 296 clips, as CAVP does, 93
# iterations of 16 per epoch.
_base_ = './s4.py'
data_root = 'data/AVSBench-Object/Multi-sources'
train_dataloader = dict(
    dataset=dict(data_root=data_root, subset='ms3', frame_sampling='all')
)
val_dataloader = dict(dataset=dict(data_root=data_root, subset='ms3'))
test_dataloader = dict(dataset=dict(data_root=data_root, subset='ms3'))
