# AVSegFormer on AVSBench-Object S4, as its program trains it: frames and masks
# resized to 512 x 512 (and scored so), clips of five frames whose first is
# labeled, two per step, not augmented; backbone frozen for five epochs.
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
load = [*_base_.load, dict(type='ResizeAsOriginal', size=(512, 512))]
pipeline = [*load, _base_.pack]
tta_pipeline = [*load, _base_.tta_pipeline[-1]]
clips = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
train_dataloader = dict(clips, batch_size=2)
val_dataloader = test_dataloader = clips
val_evaluator = test_evaluator = [
    dict(type='AVSBenchJFMetric', size=(512, 512)),
    dict(type='DatasetIoUFMetric', size=(512, 512)),
]
custom_hooks = [*_base_.custom_hooks, dict(type='FreezeHook', epochs=5)]
find_unused_parameters = True
default_hooks = dict(checkpoint=dict(save_best='avsbench_512/JF'))
