# AVSBench-Semantic at 224 x 224 in clips of ten frames. Clips of five (v1s,
# v1m) are filled up with five black, silent ones that enter no loss and no
# score; in training, of v1s the first frame alone is labeled. With
# clip_length=5 a clip of ten is two samples, and none is filled up.
# batch_size counts clips.
_base_ = './avss_224.py'
clips = dict(_delete_=True, type='ClipDataset', clip_length=10)
train_dataloader = dict(
    batch_size=4,
    collate_fn=dict(type='clip_collate'),
    dataset=dict(dataset=_base_.train_dataloader.dataset, **clips),
)
val_dataloader = dict(
    collate_fn=dict(type='clip_collate'),
    dataset=dict(dataset=_base_.val_dataloader.dataset, **clips),
)
test_dataloader = dict(
    collate_fn=dict(type='clip_collate'),
    dataset=dict(dataset=_base_.test_dataloader.dataset, **clips),
)
