# Sounding scenes, preset 'demo' (9 classes, 96 x 96 frames), written by
# tools/dataset_converters/make_sounding_scenes.py data/sounding_scenes_demo
# Training sees every labeled frame: 405 clips hold 2,916 of them, 365
# iterations of 8 per epoch.
_base_ = './avs_default.py'
dataset_type = 'SoundingScenesDataset'
data_root = 'data/sounding_scenes_demo'

# Training and test scenes are drawn from the same world, so a flip is all the
# augmentation; sound is mono, which a flip does not change.
train_pipeline = [*_base_.load, _base_.flip[0], _base_.pack]
dataset = dict(type=dataset_type, data_root=data_root)
train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    dataset=dict(frame_sampling='all', pipeline=train_pipeline, **dataset),
)
val_dataloader = dict(batch_size=8, num_workers=2, dataset=dataset)
test_dataloader = dict(batch_size=8, num_workers=2, dataset=dataset)

test_evaluator = [
    *_base_.val_evaluator,
    # Not at AVSBench's size: the scores are avss_legacy_original/mIoU etc.
    dict(type='AVSSLegacyMetric', size=None),
]
