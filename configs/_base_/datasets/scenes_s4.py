# Sounding scenes in the layout of S4, 96 x 96, written by
# tools/dataset_converters/make_sounding_scenes.py data/sounding_scenes_s4 \
#     --layout s4
_base_ = './s4.py'
data_root = 'data/sounding_scenes_s4'

# As for the scenes of AVSBench-Semantic, a flip is all the augmentation.
train_pipeline = [*_base_.load, _base_.flip[0], _base_.pack]
dataset = dict(data_root=data_root)
train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    dataset=dict(pipeline=train_pipeline, **dataset),
)
val_dataloader = dict(batch_size=8, num_workers=2, dataset=dataset)
test_dataloader = dict(batch_size=8, num_workers=2, dataset=dataset)

# The scenes are smaller than the frames of AVSBench, and their scores are
# called avsbench_original/J, F and JF.
val_evaluator = [
    dict(type='AVSBenchJFMetric', size=None),
    dict(type='DatasetIoUFMetric'),
]
test_evaluator = val_evaluator
