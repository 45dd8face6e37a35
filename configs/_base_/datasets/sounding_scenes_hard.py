# Sounding scenes, preset 'hard' (13 classes, 96 x 96 frames), written by
# tools/dataset_converters/make_sounding_scenes.py data/sounding_scenes_hard \
#     --preset hard
# 300 clips hold 2,160 labeled frames, 270 iterations of 8 per epoch.
_base_ = './sounding_scenes_demo.py'
dataset_type = 'HardSoundingScenesDataset'
data_root = 'data/sounding_scenes_hard'
dataset = dict(type=dataset_type, data_root=data_root)
# Read in the training's own process, small files take 4 % of a step.
train_dataloader = dict(num_workers=0, dataset=dataset)
val_dataloader = dict(num_workers=0, dataset=dataset)
test_dataloader = dict(num_workers=0, dataset=dataset)
