import os
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmcpm.apis import config_checks, options, train_and_test
from mmcpm.utils.errors import UsageError

pytestmark = pytest.mark.usefixtures('new_process')


def test_work_dir_comes_from_option_then_config_then_name(load):
    assert load().work_dir == 'work_dirs/toy'
    settings = ['work_dir=here']
    assert load(cfg_options=settings).work_dir == 'here'
    assert load(cfg_options=settings, work_dir='there').work_dir == 'there'


def test_seed_keeps_other_settings_of_randomness(load):
    cfg = load(seed=7, cfg_options=['randomness.deterministic=True'])
    assert cfg.randomness == {'deterministic': True, 'seed': 7}


def test_options_override_nested_settings(load):
    cfg = load(
        cfg_options=[
            'train_dataloader.batch_size=5',
            'val_evaluator.0.prefix=mine',
            'custom_hooks=[1,(2,3)]',
        ]
    )
    assert cfg.train_dataloader.batch_size == 5
    assert cfg.val_evaluator[0].prefix == 'mine'
    assert cfg.custom_hooks == [1, (2, 3)]


@pytest.mark.parametrize(
    ('option', 'reason'),
    [
        ('randomness.seed=2', '--seed'),
        ('launcher=mpi', '--launcher'),
        ('_base_=other.py', 'the config file'),
    ],
)
def test_options_that_another_argument_decides(
    config, option, reason, train_args
):
    args = train_args(config, seed=1, cfg_options=[option])
    with pytest.raises(UsageError, match=f'has no effect: {reason} decides'):
        train_and_test.load_config(args)


@pytest.mark.parametrize(
    'text, reason',
    [
        ('a = (', 'SyntaxError'),
        ("_base_ = 'none.py'", 'none.py'),
        (
            "custom_imports = dict(imports=['no_such_module'])",
            'no_such_module',
        ),
    ],
)
def test_config_that_cannot_be_read(tmp_path, text, reason, load):
    path = tmp_path / 'broken.py'
    path.write_text(text)
    with pytest.raises(UsageError, match=f'broken.py cannot be.*{reason}'):
        load(str(path))


def test_data_root_reaches_every_dataset(data_root, load):
    cfg = load()
    cfg.train_dataloader.dataset = {
        'type': 'RepeatDataset',
        'times': 2,
        'dataset': {
            'type': 'ConcatDataset',
            'datasets': [{'type': 'A', 'data_root': 'x'}, {'type': 'B'}],
        },
    }
    options.apply_data_root(cfg, 'data')
    repeated = cfg.train_dataloader.dataset
    assert 'data_root' not in repeated
    assert [d.data_root for d in repeated.dataset.datasets] == [data_root] * 2
    assert cfg.val_dataloader.dataset.data_root == data_root
    assert cfg.test_dataloader.dataset.data_root == data_root


@pytest.mark.parametrize(
    'cuda, wrapper',
    [(True, 'mmengine.AmpOptimWrapper'), (False, 'mmseg.CPUAmpOptimWrapper')],
)
def test_amp_by_device(monkeypatch, cuda, wrapper, load):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: cuda)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0')
    cfg = load()
    options.apply_amp(cfg)
    assert cfg.optim_wrapper.type == wrapper
    assert cfg.optim_wrapper.get('loss_scale') == ('dynamic' if cuda else None)
    options.apply_amp(cfg)
    assert cfg.optim_wrapper.type == wrapper


def test_amp_refuses_other_wrappers(load):
    cfg = load()
    cfg.optim_wrapper.type = 'ApexOptimWrapper'
    with pytest.raises(UsageError, match='--amp.*ApexOptimWrapper'):
        options.apply_amp(cfg)


def test_auto_scale_lr(load):
    settings = ['auto_scale_lr.base_batch_size=16']
    cfg = load(cfg_options=settings)
    options.apply_auto_scale_lr(cfg)
    assert cfg.auto_scale_lr == {'base_batch_size': 16, 'enable': True}


def test_optimizers_that_accumulate_differently_are_refused(load):
    cfg = load()
    cfg.auto_scale_lr = dict(base_batch_size=16)
    cfg.optim_wrapper = dict(
        constructor='X',
        one=dict(optimizer=dict(type='SGD'), accumulative_counts=2),
        other=dict(optimizer=dict(type='SGD')),
    )
    with pytest.raises(UsageError, match=r'\[1, 2\]'):
        options.apply_auto_scale_lr(cfg)
    cfg.optim_wrapper.other.accumulative_counts = 2
    options.apply_auto_scale_lr(cfg)
    assert options.accumulated_batches(cfg.optim_wrapper) == 2


@pytest.mark.parametrize('settings', [None, ['auto_scale_lr.enable=False']])
def test_auto_scale_lr_needs_the_base_batch_size(settings, load):
    cfg = load(cfg_options=settings)
    with pytest.raises(UsageError, match='base_batch_size=16'):
        options.apply_auto_scale_lr(cfg)


def test_tta_needs_its_settings(load):
    cfg = load(cfg_options=['tta_model.type=X'])
    with pytest.raises(UsageError, match='--tta needs tta_pipeline in'):
        options.apply_tta(cfg)


@pytest.mark.parametrize(
    ('option', 'refused'),
    [
        ('test_dataloader.dataset.pipeline.5.size=(96,96)', True),
        ('tta_pipeline.1.channels=stereo', True),
        ('test_dataloader.dataset.pipeline.6.meta_keys=(a,)', False),
    ],
)
def test_tta_follows_the_test_pipeline(option, refused):
    path = 'configs/_base_/datasets/avss_224.py'
    cfg = Config.fromfile(Path(__file__).parents[2] / path)
    options.apply_cfg_options(cfg, [option])
    cfg.model = {'type': 'X'}
    if not refused:
        options.apply_tta(cfg)
        return
    with pytest.raises(UsageError, match=r'tta_pipeline\.[15] is'):
        options.apply_tta(cfg)


def test_show_needs_a_display(monkeypatch, load):
    monkeypatch.setattr('sys.platform', 'linux')
    cfg = load()
    with pytest.raises(UsageError, match='--show-dir'):
        options.apply_show(cfg, True, None, 0)


def test_show_keeps_settings_of_hook_and_visualizer(monkeypatch, load):
    monkeypatch.setenv('DISPLAY', ':0')
    cfg = load()
    cfg.visualizer = {'type': 'AVSLocalVisualizer', 'alpha': 0.3}
    cfg.default_hooks.visualization = {
        'type': 'AVSVisualizationHook',
        'backend_args': {'backend': 'local'},
    }
    options.apply_show(cfg, True, 'pictures', 0.5)
    assert cfg.visualizer.alpha == 0.3
    assert cfg.default_hooks.visualization == {
        'type': 'AVSVisualizationHook',
        'backend_args': {'backend': 'local'},
        'draw': True,
        'interval': 1,
        'show': True,
        'show_dir': 'pictures',
        'wait_time': 0.5,
    }


def test_show_replaces_visualizers_that_cannot_draw_sound(load):
    cfg = load()
    cfg.visualizer = {
        'type': 'SegLocalVisualizer',
        'name': 'visualizer',
        'vis_backends': [{'type': 'LocalVisBackend'}],
        'classes': ('background', 'bird', 'dog'),
    }
    cfg.default_hooks.visualization = {'type': 'SegVisualizationHook'}
    options.apply_show(cfg, False, 'pictures', 2)
    assert cfg.visualizer == {
        'type': 'mmseg.AVSLocalVisualizer',
        'name': 'visualizer',
        'vis_backends': [{'type': 'LocalVisBackend'}],
    }
    assert cfg.default_hooks.visualization.type == 'mmseg.AVSVisualizationHook'


def test_resume_takes_a_checkpoint(config):
    cfg = Config.fromfile(config)
    options.apply_resume(cfg, 'some.pth')
    assert (cfg.resume, cfg.load_from) == (True, 'some.pth')


def test_resume_without_checkpoint_starts_anew(capsys, load):
    cfg = load()
    cfg.load_from = 'pretrained.pth'
    options.apply_resume(cfg, 'auto')
    # mmengine would resume from the pretrained weights.
    assert (cfg.resume, cfg.load_from) == (False, 'pretrained.pth')
    assert 'Nothing to resume in work_dirs/toy' in capsys.readouterr().out


def test_resume_finds_the_newest_whole_checkpoint(load):
    cfg = load(work_dir='run')
    os.mkdir('run')
    for epoch in (2, 9, 10, 11):
        torch.save({'epoch': epoch}, f'run/epoch_{epoch}.pth')
    with open('run/epoch_11.pth', 'r+b') as file:
        file.truncate(300)
    options.apply_resume(cfg, 'auto')
    assert (cfg.resume, cfg.load_from) == (True, 'run/epoch_10.pth')


def test_no_resume(load):
    cfg = load()
    options.apply_resume(cfg, None)
    assert cfg.resume is False


def test_sound_wraps_the_test_dataset(load):
    cfg = load()
    inner = cfg.test_dataloader.dataset
    options.apply_sound(cfg, 'swapped')
    wrapper = cfg.test_dataloader.dataset
    assert wrapper.type == 'mmseg.CounterfactualAudioDataset'
    assert (wrapper.sound, wrapper.dataset) == ('swapped', inner)
    # What looks for the dataset itself still finds it.
    found = config_checks.datasets(cfg, ('test_dataloader',))
    assert [dataset for _, dataset in found] == [inner]
