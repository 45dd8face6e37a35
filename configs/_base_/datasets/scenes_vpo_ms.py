# Sounding scenes in the layout of VPO-MS, written by
# tools/dataset_converters/make_sounding_scenes.py \
#     data/sounding_scenes_vpo_ms --layout vpo_ms
_base_ = './scenes_vpo_ss.py'
data_root = 'data/sounding_scenes_vpo_ms'
train_dataloader = dict(dataset=dict(data_root=data_root, subset='ms'))
val_dataloader = dict(dataset=dict(data_root=data_root, subset='ms'))
test_dataloader = dict(dataset=dict(data_root=data_root, subset='ms'))
