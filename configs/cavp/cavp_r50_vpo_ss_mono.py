# The same with one channel: the sounds of the sources are added up.
_base_ = ['./cavp_r50_vpo_ss.py']

model = dict(audio_backbone=dict(in_channels=1))
load = [
    dict(type='LoadFrameFromFile'),
    dict(type='LoadSoundSources', channels='mono', seconds=3.0),
    dict(type='LoadTranslatedAnnotations'),
    dict(type='RecordSoundingClasses'),
]
train_pipeline = [*load, *_base_.train_pipeline[4:]]
test_pipeline = [*load, dict(type='PackAVSInputs')]
tta_pipeline = [*load, _base_.tta_pipeline[-1]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
