# The same with one channel: which of two alike objects sounds, cannot be
# heard. Sounds of the sources are added up.
_base_ = ['./cpm_r18_scenes_vpo_msmi.py']

train_pipeline = [
    dict(type='LoadFrameFromFile'),
    dict(type='LoadSoundSources', channels='mono', seconds=3.0),
    dict(type='LoadTranslatedAnnotations'),
    dict(type='RecordSoundingClasses'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackAVSInputs'),
]
test_pipeline = [*train_pipeline[:4], dict(type='PackAVSInputs')]
tta_pipeline = [*test_pipeline[:-1], _base_.tta_pipeline[-1]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
model = dict(audio_backbone=dict(in_channels=1))
