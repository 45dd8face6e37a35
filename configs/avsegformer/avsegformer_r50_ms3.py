# AVSegFormer on AVSBench-Object MS3, as its program trains it: as on S4, but
# all frames are labeled, 60 epochs, the image backbone frozen for ten.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/ms3_clips.py',
    '../_base_/models/avsegformer_r50.py',
    '../_base_/schedules/avsegformer_adamw_60e.py',
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
custom_hooks = [*_base_.custom_hooks, dict(type='FreezeHook', epochs=10)]
find_unused_parameters = True
default_hooks = dict(checkpoint=dict(save_best='avsbench_512/JF'))
