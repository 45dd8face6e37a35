# CPM on data of your own in the size of cpm_r18_scenes, from scratch: a first
# try on a CPU. Crops of 256 x 256.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/avs_folder.py',
    '../_base_/models/cpm_r18_tiny.py',
    '../_base_/schedules/adamw_poly_scenes.py',
]

size = (256, 256)
crop = dict(type='RandomCrop', crop_size=size, cat_max_ratio=1.0)
train_pipeline = [*_base_.load, crop, *_base_.flip, _base_.pack]
dataset = dict(data_root='data/my_dataset', class_file='classes.txt')
train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    dataset=dict(pipeline=train_pipeline, **dataset),
)
val_dataloader = dict(num_workers=2, dataset=dataset)
test_dataloader = dict(num_workers=2, dataset=dataset)
model = dict(
    data_preprocessor=dict(size=size), decode_head=dict(num_classes='auto')
)
