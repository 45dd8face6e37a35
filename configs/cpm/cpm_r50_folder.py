# CPM on data of your own: a plain folder of frames, labels and sounds.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/avs_folder.py',
    '../_base_/models/cpm_r50.py',
    '../_base_/schedules/adamw_poly_100e.py',
]

dataset = dict(data_root='data/my_dataset', class_file='classes.txt')
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
model = dict(decode_head=dict(num_classes='auto'))
