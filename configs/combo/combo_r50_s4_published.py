# COMBO as coded and published for S4: a second backbone reads maskiges.
_base_ = ['./combo_r50_s4.py']

load = [
    _base_.load[0],
    dict(
        type='LoadMaskige', folder='data/AVSBench-Object/Single-source/maskige'
    ),
    _base_.load[1],
    dict(type='CutAudioToFrame', step=0.96),
    *_base_.load[3:],
]
pack = dict(type='PackMaskigeInputs')
train_pipeline = [
    *load,
    _base_.rescale,
    _base_.crop,
    *_base_.flip,
    dict(type='SplitMaskige'),
    _base_.distort,
    pack,
]
test = dict(dataset=dict(dataset=dict(pipeline=[*load, pack])))
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = test
test_dataloader = test
model = dict(
    maskige_backbone=_base_.model.backbone,
    decode_head=dict(audio_broadcast='as_coded'),
)
