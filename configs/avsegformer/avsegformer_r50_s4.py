# AVSegFormer on AVSBench-Object S4, as its program trains it: frames and masks
# resized to 512 x 512, no augmentation, clips of five frames whose first is
# labeled, two per step; the image backbone is frozen for five epochs.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/s4_clips.py',
    '../_base_/models/avsegformer_r50.py',
    '../_base_/schedules/avsegformer_adamw_30e.py',
]

model = dict(
    data_preprocessor=dict(size=(512, 512)),
    decode_head=dict(
        num_classes=2,
        loss_decode=dict(_delete_=True, type='ForegroundDiceLoss'),
    ),
)
resize = dict(type='Resize', scale=(512, 512), keep_ratio=False)
train_pipeline = [*_base_.load, resize, _base_.pack]
# Scored at the size of the label files, 224 x 224.
test_pipeline = [_base_.load[0], resize, *_base_.load[1:], _base_.pack]
train = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
train_dataloader = dict(train, batch_size=2)
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=test_pipeline)))
test_dataloader = val_dataloader
custom_hooks = [*_base_.custom_hooks, dict(type='FreezeHook', epochs=5)]
find_unused_parameters = True
default_hooks = dict(checkpoint=dict(save_best='avsbench/JF'))
