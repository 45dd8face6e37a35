# Sounding scenes in the layout of VPO-SS, 96 x 96, written by
# tools/dataset_converters/make_sounding_scenes.py \
#     data/sounding_scenes_vpo_ss --layout vpo_ss
_base_ = './vpo_ss.py'
data_root = 'data/sounding_scenes_vpo_ss'
# The eight classes of the scenes play the parts of VPO's first eight.
metainfo = dict(
    classes=(
        'background',
        'airplane',
        'baby',
        'bird',
        'bus',
        'car',
        'cat',
        'cell phone',
        'cow',
    )
)

# As for the scenes of AVSBench-Semantic, a flip is all the augmentation.
train_pipeline = [*_base_.load, *_base_.flip, _base_.pack]
dataset = dict(data_root=data_root, metainfo=metainfo)
# Read in the training's own process, small files take 4 % of a step.
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    dataset=dict(pipeline=train_pipeline, **dataset),
)
val_dataloader = dict(batch_size=8, num_workers=0, dataset=dataset)
test_dataloader = dict(batch_size=8, num_workers=0, dataset=dataset)
