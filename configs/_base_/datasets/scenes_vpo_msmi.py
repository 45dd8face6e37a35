# Sounding scenes in the layout of VPO-MSMI, written by
# tools/dataset_converters/make_sounding_scenes.py \
#     data/sounding_scenes_vpo_msmi --layout vpo_msmi --clips 2400 60 300
# A tenth of the 2,460 images is held out, 277 iterations of 8 per epoch.
_base_ = './scenes_vpo_ss.py'
data_root = 'data/sounding_scenes_vpo_msmi'
train_dataloader = dict(dataset=dict(data_root=data_root, subset='msmi'))
val_dataloader = dict(dataset=dict(data_root=data_root, subset='msmi'))
test_dataloader = dict(dataset=dict(data_root=data_root, subset='msmi'))
