"""Options and settings that cannot be meant."""

from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        # Not KEY=VALUE.
        ('max_epochs', 'expects KEY=VALUE with balanced brackets and no bl'),
        ('a=[1,(2]', "got 'a=[1,(2]'"),
        # Names that are not there.
        (
            'model.decode_head.num_querys=7',
            'no model.decode_head.num_querys. Did you mean '
            'model.decode_head.num_queries?',
        ),
        ('modl.test_cfg.mode=slide', 'no modl. Did you mean model?'),
        (
            'train_dataloader.batchsize=2',
            'Did you mean train_dataloader.batch_size?',
        ),
        (
            'train_dataloader.dataset.pipeline.9.type=X',
            'does not fit the configuration',
        ),
        (
            'train_dataloader.dataset.color=True',
            "unexpected keyword argument 'color'",
        ),
        ('default_hooks.logger.type=LogHook', 'LogHook is not in the mmseg'),
        (
            'train_dataloader.dataset.type=AVSBenchSemantic',
            'AVSBenchSemantic is not a registered dataset',
        ),
        (
            'train_dataloader.dataset.pipeline.0.type=LoadFrame',
            'LoadFrame is not in the mmseg::transform registry',
        ),
        # Settings without effect.
        (
            'max_epochs=2',
            "max_epochs has no effect: nothing reads 'max_epochs' after the "
            'config files. Settings were made of it before; set them: '
            'train_cfg.max_epochs',
        ),
        ('num_classes=5', 'set them: model.decode_head.num_classes'),
        ('note=mine', 'begins with an underscore: _note'),
        ('launcher=pytorch', 'launcher has no effect: --launcher decides'),
        # Values that are none.
        ('model=5', 'model must be a dict of settings, but is 5'),
        (
            'train_dataloader.dataset=None',
            'train_dataloader.dataset must be a dict of settings, but is None',
        ),
        ('optim_wrapper=None', 'does not set optim_wrapper'),
        (
            'train_dataloader.batch_size=0',
            'train_dataloader.batch_size must be a whole number, at least 1, '
            'but is 0',
        ),
        ('val_dataloader.batch_size=1.5', 'at least 1, but is 1.5'),
        (
            'train_dataloader.num_workers=-1',
            'train_dataloader.num_workers must be a whole number, at least 0',
        ),
        ('train_cfg.max_epochs=0', 'train_cfg.max_epochs must be a whole'),
        ('train_cfg.max_epochs=many', "at least 1, but is 'many'"),
        (
            'train_dataloader.dataset.split=training',
            "split must be one of ('train', 'val', 'test'), got 'training'",
        ),
        (
            'train_dataloader.dataset.subset=s4',
            "subset must be None, one of ('v1s', 'v1m', 'v2', 'ss', 'ms')",
        ),
        (
            'optim_wrapper.optimizer.lr=fast',
            'the optimizer cannot be built from optim_wrapper=',
        ),
        ('optim_wrapper.optimizer.lr=nan', 'Invalid learning rate: nan'),
        (
            'optim_wrapper.optimizer.type=Adamm',
            "optim_wrapper.optimizer.type='Adamm' is no registered optimizer",
        ),
        (
            'model.decode_head.num_classes=70',
            'num_classes is 70, but the dataset of train_dataloader has 71 '
            'classes, the background included',
        ),
        (
            'default_hooks.checkpoint.save_best=mIoU',
            "save_best='mIoU' is no score of val_evaluator; its scores' "
            'names begin with dataset/',
        ),
        (
            'val_dataloader.dataset.skip_unreadable=3',
            'a score over fewer samples is not comparable',
        ),
        (
            'train_dataloader.persistent_workers=True',
            'persistent_workers option needs num_workers > 0',
        ),
    ],
)
def test_option(tools, option, message):
    assert message in tools.refuses('train', option)


def test_variable_of_the_base_in_a_child(tools):
    Path('child.py').write_text("_base_ = ['tiny.py']\nnum_classes = 5\n")
    message = tools.refuses('train', config='child.py')
    assert "child.py:2: 'num_classes' has no effect" in message
    assert 'set them: model.decode_head.num_classes' in message


def test_checkpoint_of_a_test_is_its_argument(tools, weights):
    message = tools.refuses('test', weights, 'load_from=other.pth')
    assert 'load_from has no effect: the checkpoint argument' in message


def test_only_incomplete_batches(tools):
    message = tools.refuses(
        'train',
        'train_dataloader.batch_size=100',
        'train_dataloader.drop_last=True',
    )
    assert 'no batch can be made: 6 samples, batches of 100' in message


def test_new_settings_are_accepted(tools):
    tools.accepts(
        'train',
        'train_dataloader.drop_last=True',
        'train_dataloader.dataset.skip_unreadable=1',
        'default_hooks.progress.type=ProgressBarHook',
        'model.backbone.frozen_stages=1',
        '_note=mine',
    )


PLATEAU = [dict(type='ReduceOnPlateauLR', monitor='dataset/mIoU')]


@pytest.mark.parametrize(
    ('lines', 'message'),
    [
        (
            "default_hooks = dict(checkpoint=dict(save_best='dataset/mIuO'))",
            "default_hooks.checkpoint.save_best='dataset/mIuO' is no score",
        ),
        (
            'default_hooks = dict(checkpoint=dict(save_best='
            "['dataset/mIoU', 'dataset/mIuO']))",
            "save_best='dataset/mIuO' is no score of val_evaluator",
        ),
        (
            "default_hooks = dict(checkpoint=dict(rule='less'))",
            "goes with rule='less', but of this score the greater is the",
        ),
        ("monitor = 'mIoU'", "EarlyStoppingHook.monitor='mIoU' is no score"),
        ("monitor = 'loss'", "='loss' is no score of val_evaluator, which "),
        (
            "monitor = 'coverage/mIoU'",
            'dataset/ss/aAcc, coverage/td_a, coverage/final',
        ),
        (
            "param_scheduler = [dict(type='ReduceOnPlateauLR')]",
            "param_scheduler ReduceOnPlateauLR.monitor='loss' is no score",
        ),
        (f'param_scheduler = {PLATEAU}', "set rule='greater'"),
        (
            f'param_scheduler = {PLATEAU}\nval_cfg = val_dataloader = '
            'val_evaluator = None',
            "ReduceOnPlateauLR.monitor='dataset/mIoU' needs a validation",
        ),
        (
            "val_evaluator = [dict(type='DatasetIoUFMetric')] * 2",
            "two metrics of the evaluation give 'dataset/mIoU'",
        ),
        (
            "val_evaluator = [dict(type='AVSBenchJFMetric')]\n"
            "default_hooks = dict(checkpoint=dict(save_best='auto', "
            'rule=None))',
            "set default_hooks.checkpoint.rule='greater'",
        ),
        (
            "train_dataloader = dict(sampler=dict(type='InfiniteSampler'))",
            'EpochBasedTrainLoop would never come to the end of an Infinite',
        ),
        ('train_cfg = dict(val_interval=0)', 'val_interval must be a whole'),
        ('train_cfg = dict(val_begin=2)', 'is after the end of the training'),
        (
            'train_cfg = dict(_delete_=True, max_iters=2, '
            "type='IterBasedTrainLoop')",
            'set checkpoint=dict(by_epoch=False, interval=N)',
        ),
        (
            'train_cfg = dict(_delete_=True, max_iters=2, '
            "type='IterBasedTrainLoop')\nparam_scheduler = [dict("
            "type='PolyLR', end=2)]\ndefault_hooks = dict(checkpoint=dict("
            'by_epoch=False, interval=1))',
            'a param_scheduler with by_epoch=True never takes a step',
        ),
        (
            'val_dataloader = dict(batch_size=6, dataset=dict(indices=6))',
            'val_dataloader.batch_size=6 puts val1s_0_5000/0 of (36, 40) and '
            'val1m_0/0 of (48, 64) pixels',
        ),
        (
            'model = dict(data_preprocessor=dict(size_divisor=32))',
            'model.data_preprocessor needs one of size and size_divisor',
        ),
        (
            'model = dict(data_preprocessor=dict(test_cfg=dict(size=(64, 64), '
            'size_divisor=32)))',
            'model.data_preprocessor.test_cfg needs one of size and',
        ),
        ("model = dict(test_cfg=dict(mode='slid'))", "but is 'slid'"),
        (
            "model = dict(test_cfg=dict(mode='slide', crop_size=(32, 32)))",
            "mode 'slide' needs stride=(height, width)",
        ),
        (
            "model = dict(test_cfg=dict(mode='slide', crop_size=32, "
            'stride=(32, 32)))',
            'needs crop_size=(height, width) in pixels, but it is 32',
        ),
        (
            "model = dict(test_cfg=dict(mode='slide', crop_size=(32, 32), "
            'stride=(32, 33)))',
            'the windows would leave gaps',
        ),
    ],
)
def test_what_would_end_a_training_later(tools, lines, message):
    tools.configure(monitored(lines))
    assert message in tools.refuses('train')


def monitored(lines):
    """Turn ``monitor = NAME`` into the hook that stops early."""
    if not lines.startswith('monitor'):
        return lines
    return (
        f'{lines}\ncustom_hooks = [dict(type="EarlyStoppingHook", '
        'monitor=monitor, rule="greater")]'
    )


@pytest.mark.parametrize(
    'lines',
    [
        "monitor = 'dataset/mIoU'",
        "monitor = 'coverage/final'",
        # Groups of frames that the dataset tells.
        "monitor = 'dataset/ss/Fbeta'",
        # Another program's metric may give anything.
        "monitor = 'mIoU'\nval_evaluator = [dict(type='DatasetIoUFMetric'), "
        "dict(type='IoUMetric')]",
        "default_hooks = dict(checkpoint=dict(save_best='dataset/FDR', "
        "rule='less'))",
        "default_hooks = dict(checkpoint=dict(save_best='auto', rule=None))",
        "param_scheduler = [dict(type='ReduceOnPlateauLR', "
        "monitor='dataset/mIoU', rule='greater')]",
        'val_cfg = val_dataloader = val_evaluator = None',
        # One size per batch: the pipeline's, or the files'.
        'val_dataloader = dict(batch_size=5, dataset=dict(indices=10))',
        'val_dataloader = dict(batch_size=6, dataset=dict(indices=6, '
        "pipeline=[dict(type='LoadFrameFromFile'), dict(type='Resize', "
        "scale=(32, 32)), dict(type='LoadAudioFromFile'), dict("
        "type='CutAudioToFrame'), dict(type='LoadAVSAnnotations'), dict("
        "type='PackAVSInputs')]))",
        "model = dict(test_cfg=dict(mode='slide', crop_size=(32, 32), "
        'stride=[32, 20]))',
    ],
)
def test_settings_that_can_be_meant_pass(tools, lines):
    tools.configure(monitored(lines))
    tools.accepts('train')


def test_checkpoints_within_epochs_are_told(tools):
    tools.configure(
        'default_hooks = dict(checkpoint=dict(by_epoch=False, interval=2))'
    )
    tools.accepts('train')
    logs = ''.join(p.read_text() for p in Path('work').glob('*/*.log'))
    assert 'a checkpoint within an epoch cannot be resumed' in logs


def test_validation_that_fails_does_so_before_the_training(tools):
    """Whatever it is that fails: one batch is tried."""
    tools.configure(
        'pipeline = [p for p in _base_.train_pipeline if p["type"] != '
        '"LoadAVSAnnotations" and p["type"] != "RecordSoundingClasses" '
        'and p["type"] != "RandomCrop"]\n'
        'val_dataloader = dict(dataset=dict(pipeline=pipeline))'
    )
    message = tools.refuses('train', begun=True)
    assert 'the data sample has no' in message
    logs = ''.join(p.read_text() for p in Path('work').glob('*/*.log'))
    assert 'Saving checkpoint' not in logs


def test_assertions_of_upstream_are_one_message(tools, monkeypatch):
    """Also after the first iteration."""

    def fail(self, runner):
        raise AssertionError('sizes differ')

    monkeypatch.setattr(
        'mmcpm.engine.hooks.StabilityScoreHook.after_train_epoch', fail
    )
    message = tools.refuses('train', begun=True)
    assert 'sizes differ\n(AssertionError in ' in message


@pytest.mark.parametrize(
    ('launcher', 'message'),
    [
        ('pytorch', 'expects RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT in'),
        ('slurm', '--launcher slurm needs CUDA devices'),
        ('mpi', '--launcher mpi needs CUDA devices'),
    ],
)
def test_launcher_without_its_environment(
    tools, monkeypatch, launcher, message
):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    found = tools.refuses('train', launcher=launcher)
    assert message in found and 'tools/dist_train.sh' in found


def test_base_configuration_alone(tools):
    message = tools.refuses(
        'train',
        config=str(
            Path(__file__).resolve().parents[2]
            / 'configs/_base_/default_runtime.py'
        ),
        data_root=None,
    )
    assert 'does not set model, train_dataloader, train_cfg' in message
    assert 'such as those in configs/cpm, not a _base_ file' in message


def test_shape_error_of_the_first_iteration_is_one_message(tools):
    message = tools.refuses(
        'train', 'model.audio_neck.out_channels=7', begun=True
    )
    assert 'MMCPM_TRACEBACK=1 shows the traceback' in message


@pytest.mark.parametrize(
    ('option', 'value'),
    [
        ('out', 'file/maps'),
        ('show_dir', 'file/pictures'),
        ('scores', 'file/a/s'),
    ],
)
def test_outputs_that_cannot_be_written(tools, weights, option, value):
    Path('file').touch()
    message = tools.refuses('test', weights, **{option: value})
    assert f'--{option.replace("_", "-")}' in message
    assert 'cannot write to' in message
