# A plain folder of your own, at original resolution: AVSFolderDataset tells
# what lies where. The config that uses it says data_root, and its head
# num_classes='auto': as many as the class list has.
_base_ = './avs_default.py'
dataset_type = 'AVSFolderDataset'
train_dataloader = dict(dataset=dict(type=dataset_type))
val_dataloader = dict(dataset=dict(type=dataset_type))
test_dataloader = dict(dataset=dict(type=dataset_type))
