# CAVP on AVSBench-Object S4 at 224 x 224 (CPM, Table 1, first block). Labels
# of two classes do not tell what sounds: there is no bank of sounds.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/s4.py',
    '../_base_/models/cavp_r50.py',
    '../_base_/schedules/cavp_sgd_poly_60e.py',
]

model = dict(
    data_preprocessor=dict(size=(224, 224)),
    sound_bank=None,
    decode_head=dict(num_classes=2, loss_contrast=dict(loss_weight=0.1)),
)
train_pipeline = [*_base_.load, *_base_.flip, _base_.pack]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
default_hooks = dict(checkpoint=dict(save_best='avsbench/JF'))
