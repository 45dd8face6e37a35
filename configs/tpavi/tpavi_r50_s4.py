# TPAVI on AVSBench-Object S4 at 224 x 224, as its program trains it: clips
# of five frames, the first of them labeled; no augmentation and no matching.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/s4_clips.py',
    '../_base_/models/tpavi_r50.py',
    '../_base_/models/tpavi_binary.py',
    '../_base_/schedules/adam_constant_15e.py',
]

model = dict(decode_head=dict(loss_matching=None, **_base_.tpavi_binary))
train_pipeline = [*_base_.load, _base_.pack]
train_dataloader = dict(
    dataset=dict(dataset=dict(pipeline=train_pipeline)),
)
default_hooks = dict(checkpoint=dict(save_best='avsbench/JF'))
