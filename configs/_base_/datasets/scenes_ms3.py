# Sounding scenes in the layout of MS3, 96 x 96, written by
# tools/dataset_converters/make_sounding_scenes.py data/sounding_scenes_ms3 \
#     --layout ms3
_base_ = './scenes_s4.py'
data_root = 'data/sounding_scenes_ms3'
dataset = dict(data_root=data_root, subset='ms3')
# As in MS3, every labeled frame is seen.
train_dataloader = dict(dataset=dict(frame_sampling='all', **dataset))
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
