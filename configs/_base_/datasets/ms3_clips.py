# AVSBench-Object MS3 in clips of five frames, of which all are labeled.
# batch_size counts clips.
_base_ = './ms3.py'
clips = dict(_delete_=True, type='ClipDataset', clip_length=5)
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
