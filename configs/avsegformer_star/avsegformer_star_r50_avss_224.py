# AVSegFormer* on AVSBench-Semantic at 224 x 224, trained as CPM is.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/avss_224.py',
    '../_base_/models/avsegformer_star_r50.py',
    '../_base_/schedules/adamw_poly_100e.py',
]

model = dict(data_preprocessor=dict(size=(224, 224)))
default_hooks = dict(checkpoint=dict(save_best='avss_legacy/mIoU'))
