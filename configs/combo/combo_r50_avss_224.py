# COMBO on AVSBench-Semantic at 224 x 224, without maskiges: 8 clips of ten
# frames per step; shorter ones are filled up with frames that enter no loss.
# 90,000 iterations. Frames are flipped and their colors changed, but not
# scaled or cropped. The original trains this one in mixed precision: --amp.
_base_ = [
    '../_base_/iter_runtime.py',
    '../_base_/datasets/avss_224_clips.py',
    '../_base_/models/combo_r50.py',
    '../_base_/schedules/adamw_poly_90k.py',
]

train_pipeline = [*_base_.load, *_base_.flip, _base_.distort, _base_.pack]
train_dataloader = dict(
    batch_size=8, dataset=dict(dataset=dict(pipeline=train_pipeline))
)
default_hooks = dict(checkpoint=dict(save_best='avss_legacy/mIoU'))
