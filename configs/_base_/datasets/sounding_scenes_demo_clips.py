# Sounding scenes, preset 'demo', in clips of five frames: those of ten give
# two samples. batch_size counts clips.
_base_ = './sounding_scenes_demo.py'
clips = dict(_delete_=True, type='ClipDataset', clip_length=5)
train_dataloader = dict(
    batch_size=2,
    collate_fn=dict(type='clip_collate'),
    dataset=dict(dataset=_base_.train_dataloader.dataset, **clips),
)
val_dataloader = dict(
    batch_size=2,
    collate_fn=dict(type='clip_collate'),
    dataset=dict(dataset=_base_.val_dataloader.dataset, **clips),
)
test_dataloader = dict(
    batch_size=2,
    collate_fn=dict(type='clip_collate'),
    dataset=dict(dataset=_base_.test_dataloader.dataset, **clips),
)
