# Sounding scenes in the layout of S4, 96 x 96, written by
# tools/dataset_converters/make_sounding_scenes.py data/sounding_scenes_s4 \
#     --layout s4
_base_ = './s4.py'
data_root = 'data/sounding_scenes_s4'

# As for the scenes of AVSBench-Semantic, a flip is all the augmentation.
train_pipeline = [
    dict(type='LoadFrameFromFile'),
    dict(type='LoadAudioFromFile'),
    dict(type='CutAudioToFrame'),
    dict(type='LoadBinaryAnnotations'),
    dict(type='RecordSoundingClasses'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackAVSInputs'),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    dataset=dict(data_root=data_root, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=8, num_workers=2, dataset=dict(data_root=data_root)
)
test_dataloader = dict(
    batch_size=8, num_workers=2, dataset=dict(data_root=data_root)
)

# The scenes are smaller than the frames of AVSBench, and their scores are
# called avsbench_original/J, F and JF.
val_evaluator = [
    dict(type='AVSBenchJFMetric', size=None),
    dict(type='DatasetIoUFMetric'),
]
test_evaluator = val_evaluator
