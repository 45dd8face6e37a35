# AVSegFormer on AVSBench-Semantic at 224 x 224, as its program trains it:
# clips of ten frames, four per step, whose short side is resized to 224 and
# whose center is cropped; tested on frames resized to 224 x 224, whatever
# their ratio. No augmentation; the image backbone is trained from the start.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/avss_224_clips.py',
    '../_base_/models/avsegformer_r50.py',
    '../_base_/schedules/avsegformer_adamw_30e.py',
]

train_pipeline = [
    *_base_.load[:-1],
    dict(type='ResizeShortestEdge', scale=224, max_size=100000),
    dict(type='CenterCrop', crop_size=(224, 224)),
    _base_.pack,
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
auto_scale_lr = dict(base_batch_size=4)
default_hooks = dict(checkpoint=dict(save_best='avss_legacy/mIoU'))
