# TPAVI on AVSBench-Object MS3 at 224 x 224, as its program trains it: clips of
# five labeled frames, no augmentation. The matching loss is a sum over frames.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/ms3_clips.py',
    '../_base_/models/tpavi_r50.py',
    '../_base_/models/tpavi_binary.py',
    '../_base_/schedules/adam_constant_30e.py',
]

model = dict(
    decode_head=dict(
        loss_matching=dict(mask='soft', reduction='sum'),
        **_base_.tpavi_binary,
    )
)
train_pipeline = [*_base_.load, _base_.pack]
train_dataloader = dict(
    dataset=dict(dataset=dict(pipeline=train_pipeline)),
)
default_hooks = dict(checkpoint=dict(save_best='avsbench/JF'))
