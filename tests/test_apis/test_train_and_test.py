import json
import os
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmengine.visualization import Visualizer
from mmseg.registry import DATASETS, MODELS
from mmseg.structures import SegDataSample
from torch.utils.data import Dataset

import mmcpm  # noqa: F401
from mmcpm.apis import config_checks, options, train_and_test
from mmcpm.utils.checkpoints import read_checkpoint
from mmcpm.utils.errors import UsageError

CLASSES = ('background', 'bird', 'dog')
PALETTE = [[0, 0, 0], [200, 0, 0], [0, 200, 0]]


@DATASETS.register_module(force=True)
class FourFrames(Dataset):
    """Two clips of two frames; the frames are called alike."""

    METAINFO = {'classes': CLASSES, 'palette': PALETTE}
    IDS = ('-a_0_5000/0', '-a_0_5000/1', '__b_0_5000/0', '__b_0_5000/1')

    def __init__(self, data_root='', metainfo=None, pipeline=None):
        self.metainfo = self.METAINFO
        self.data_root = Path(data_root)
        if not self.data_root.joinpath('frame.png').is_file():
            raise FileNotFoundError(f'no frames in {data_root!r}')

    def full_init(self):
        pass

    def __len__(self):
        return len(self.IDS)

    def __getitem__(self, index):
        path = str(self.data_root / 'frame.png')
        sample = SegDataSample(
            metainfo={
                'sample_id': self.IDS[index],
                'img_path': path,
                'ori_shape': (6, 8),
                'sources': 'ss' if index < 2 else 'ms',
            }
        )
        label = torch.full((1, 6, 8), index % 2)
        sample.gt_sem_seg = PixelData(data=label)
        sample.set_data({'audio': torch.zeros(1, 16000)})
        image = cv2.imread(path).transpose(2, 0, 1)
        return {'inputs': torch.from_numpy(image), 'data_samples': sample}


@MODELS.register_module(force=True)
class PointwiseSegmentor(BaseModel):
    """Classifies every pixel by its color."""

    def __init__(self, decode_head, **kwargs):
        super().__init__(**kwargs)
        self.conv = nn.Conv2d(3, decode_head['num_classes'], 1)

    def forward(self, inputs, data_samples, mode):
        scores = self.conv(torch.stack(list(inputs)) / 255)
        if mode == 'loss':
            labels = torch.cat([s.gt_sem_seg.data for s in data_samples])
            return {'loss': nn.functional.cross_entropy(scores, labels)}
        for sample, logits in zip(data_samples, scores, strict=True):
            sample.pred_sem_seg = PixelData(data=logits.argmax(0)[None])
        return data_samples


@MODELS.register_module(force=True)
class FirstViewTTAModel(BaseModel):
    """Keeps the predictions of the wrapped model."""

    def __init__(self, module):
        super().__init__()
        self.module = MODELS.build(module)

    def forward(self, inputs, data_samples, mode):
        return self.module(inputs, data_samples, mode)


CONFIG = """
default_scope = 'mmseg'
dataset = dict(type='FourFrames', data_root='unset')
train_dataloader = dict(
    batch_size=2, num_workers=0, dataset=dataset,
    sampler=dict(type='DefaultSampler', shuffle=False))
val_dataloader = dict(
    batch_size=3, num_workers=0, dataset=dataset,
    sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = val_dataloader
val_evaluator = [dict(type='DatasetIoUFMetric')]
test_evaluator = dict(type='DatasetIoUFMetric')
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
model = dict(type='PointwiseSegmentor', decode_head=dict(num_classes=3))
env_cfg = dict(mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0))
default_hooks = dict(checkpoint=dict(type='AtomicCheckpointHook'))
"""


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('RANK', raising=False)
    monkeypatch.delenv('DISPLAY', raising=False)
    monkeypatch.delenv('WAYLAND_DISPLAY', raising=False)
    monkeypatch.setenv('LOCAL_RANK', '0')


@pytest.fixture(autouse=True)
def as_in_a_new_process():
    # Runs started within one second share their logger, and with it the
    # captured output of an earlier test.
    for manager in (MMLogger, MessageHub, Visualizer):
        manager._instance_dict.clear()


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'toy.py'
    path.write_text(CONFIG)
    return str(path)


@pytest.fixture
def data_root(tmp_path):
    root = tmp_path / 'data'
    root.mkdir()
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    cv2.imwrite(str(root / 'frame.png'), frame)
    return str(root)


def args_to_train(config, **kwargs):
    defaults = {
        'work_dir': None,
        'data_root': None,
        'resume': None,
        'amp': False,
        'auto_scale_lr': False,
        'seed': None,
        'cfg_options': None,
        'launcher': 'none',
        'local_rank': 0,
    }
    return Namespace(config=config, **{**defaults, **kwargs})


def args_to_test(config, checkpoint, **kwargs):
    defaults = {
        'work_dir': None,
        'data_root': None,
        'out': None,
        'show_dir': None,
        'show': False,
        'wait_time': 2.0,
        'tta': False,
        'sound': 'true',
        'scores': None,
        'seed': None,
        'cfg_options': None,
        'launcher': 'none',
        'local_rank': 0,
    }
    return Namespace(
        config=config, checkpoint=checkpoint, **{**defaults, **kwargs}
    )


def refused(call, args, capsys):
    """Run a tool that must refuse; return its message."""
    with pytest.raises(SystemExit) as exit:
        call(args)
    assert exit.value.code == 2
    message = capsys.readouterr().err
    assert 'Traceback' not in message
    return message


# --- load_config and the options ---


def test_work_dir_comes_from_option_then_config_then_name(config):
    assert (
        train_and_test.load_config(args_to_train(config)).work_dir
        == 'work_dirs/toy'
    )
    settings = ['work_dir=here']
    assert (
        train_and_test.load_config(
            args_to_train(config, cfg_options=settings)
        ).work_dir
        == 'here'
    )
    assert (
        train_and_test.load_config(
            args_to_train(config, cfg_options=settings, work_dir='there')
        ).work_dir
        == 'there'
    )


def test_seed_keeps_other_settings_of_randomness(config):
    cfg = train_and_test.load_config(
        args_to_train(
            config, seed=7, cfg_options=['randomness.deterministic=True']
        )
    )
    assert cfg.randomness == {'deterministic': True, 'seed': 7}


def test_options_override_nested_settings(config):
    cfg = train_and_test.load_config(
        args_to_train(
            config,
            cfg_options=[
                'train_dataloader.batch_size=5',
                'val_evaluator.0.prefix=mine',
                'custom_hooks=[1,(2,3)]',
            ],
        )
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
def test_options_that_another_argument_decides(config, option, reason):
    args = args_to_train(config, seed=1, cfg_options=[option])
    with pytest.raises(UsageError, match=f'has no effect: {reason} decides'):
        train_and_test.load_config(args)


def test_scores_of_any_metric_can_be_written(tmp_path):
    scores = {
        'one': np.float32(0.5),
        'each': np.array([1, 2]),
        'two': torch.tensor(0.25),
        'none': None,
    }
    evaluator = SimpleNamespace(metrics=[])
    loader = SimpleNamespace(dataset=[])
    runner = SimpleNamespace(
        test_loop=SimpleNamespace(evaluator=evaluator, dataloader=loader)
    )
    path = tmp_path / 'scores.json'
    args = args_to_test('c.py', 'c.pth', scores=str(path))
    train_and_test.write_scores(args, scores, runner)
    assert json.loads(path.read_text())['metrics'] == {
        'one': 0.5,
        'each': [1, 2],
        'two': 0.25,
        'none': None,
    }


@pytest.mark.parametrize('option', ['a', 'a=[1,(2]'])
def test_options_that_cannot_be_parsed(config, option):
    with pytest.raises(UsageError, match=r'expects KEY=VALUE.*but got') as e:
        train_and_test.load_config(
            args_to_train(config, cfg_options=['work_dir=b', option])
        )
    assert repr(option) in str(e.value)


def test_options_that_do_not_fit(config):
    with pytest.raises(UsageError, match='val_evaluator.9.x=1 does not fit'):
        train_and_test.load_config(
            args_to_train(config, cfg_options=['val_evaluator.9.x=1'])
        )


def test_missing_config(tmp_path):
    with pytest.raises(
        UsageError, match=f'config not found: {tmp_path}/none.py'
    ):
        train_and_test.load_config(args_to_train('none.py'))


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
def test_config_that_cannot_be_read(tmp_path, text, reason):
    path = tmp_path / 'broken.py'
    path.write_text(text)
    with pytest.raises(UsageError, match=f'broken.py cannot be.*{reason}'):
        train_and_test.load_config(args_to_train(str(path)))


def test_data_root_reaches_every_dataset(config, data_root):
    cfg = train_and_test.load_config(args_to_train(config))
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


def test_data_root_must_exist(config):
    with pytest.raises(UsageError, match='--data-root is not a folder'):
        train_and_test.load_config(args_to_train(config, data_root='nowhere'))


@pytest.mark.parametrize(
    'cuda, wrapper',
    [
        (True, 'mmengine.AmpOptimWrapper'),
        (False, 'mmseg.CPUAmpOptimWrapper'),
    ],
)
def test_amp_by_device(config, monkeypatch, cuda, wrapper):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: cuda)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0')
    cfg = train_and_test.load_config(args_to_train(config))
    options.apply_amp(cfg)
    assert cfg.optim_wrapper.type == wrapper
    assert cfg.optim_wrapper.get('loss_scale') == ('dynamic' if cuda else None)
    options.apply_amp(cfg)
    assert cfg.optim_wrapper.type == wrapper


def test_amp_refuses_other_wrappers(config):
    cfg = train_and_test.load_config(args_to_train(config))
    cfg.optim_wrapper.type = 'ApexOptimWrapper'
    with pytest.raises(UsageError, match='--amp.*ApexOptimWrapper'):
        options.apply_amp(cfg)


def test_auto_scale_lr(config):
    settings = ['auto_scale_lr.base_batch_size=16']
    cfg = train_and_test.load_config(
        args_to_train(config, cfg_options=settings)
    )
    options.apply_auto_scale_lr(cfg)
    assert cfg.auto_scale_lr == {'base_batch_size': 16, 'enable': True}


# A rate of 0.1 for 16 frames per step; batches of 2.
@pytest.mark.parametrize(
    ('accumulated', 'ranks', 'rate'),
    [(1, 1, 0.0125), (4, 1, 0.05), (4, 2, 0.1), (3, 1, 0.0375), (8, 4, 0.4)],
)
def test_rate_is_scaled_with_the_frames_of_an_update(
    config, data_root, monkeypatch, accumulated, ranks, rate
):
    lines = [
        f'optim_wrapper.update(accumulative_counts={accumulated})',
        "optim_wrapper['paramwise_cfg'] = dict(bias_lr_mult=2.0)",
        'auto_scale_lr = dict(base_batch_size=16)',
        "param_scheduler = [dict(type='ConstantLR', factor=1.0)]",
        "default_hooks = dict(checkpoint=dict(type='CheckpointHook'))",
    ]
    Path(config).write_text(CONFIG + '\n'.join(lines))
    monkeypatch.setattr(Runner, 'world_size', ranks)
    rates = []

    def train(runner):
        runner.scale_lr(runner.optim_wrapper, runner.auto_scale_lr)
        schedulers = runner.build_param_scheduler(runner.param_schedulers)
        groups = runner.optim_wrapper.optimizer.param_groups
        rates.append(sorted({group['lr'] for group in groups}))
        for scheduler in schedulers:
            assert set(rates[0]) <= set(scheduler.base_values)
        assert runner.cfg.auto_scale_lr.base_batch_size == 16

    monkeypatch.setattr(Runner, 'train', train)
    train_and_test.train(
        args_to_train(config, data_root=data_root, auto_scale_lr=True)
    )
    assert rates == [pytest.approx([rate, 2 * rate])]


def test_optimizers_that_accumulate_differently_are_refused(config):
    cfg = train_and_test.load_config(args_to_train(config))
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
def test_auto_scale_lr_needs_the_base_batch_size(config, settings):
    cfg = train_and_test.load_config(
        args_to_train(config, cfg_options=settings)
    )
    with pytest.raises(UsageError, match='base_batch_size=16'):
        options.apply_auto_scale_lr(cfg)


def test_tta_needs_its_settings(config):
    cfg = train_and_test.load_config(
        args_to_train(config, cfg_options=['tta_model.type=X'])
    )
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


def test_show_needs_a_display(config, monkeypatch):
    monkeypatch.setattr('sys.platform', 'linux')
    cfg = train_and_test.load_config(args_to_train(config))
    with pytest.raises(UsageError, match='--show-dir'):
        options.apply_show(cfg, True, None, 0)


def test_show_keeps_settings_of_hook_and_visualizer(config, monkeypatch):
    monkeypatch.setenv('DISPLAY', ':0')
    cfg = train_and_test.load_config(args_to_train(config))
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


def test_show_replaces_visualizers_that_cannot_draw_sound(config):
    cfg = train_and_test.load_config(args_to_train(config))
    cfg.visualizer = {
        'type': 'SegLocalVisualizer',
        'name': 'visualizer',
        'vis_backends': [{'type': 'LocalVisBackend'}],
        'classes': CLASSES,
    }
    cfg.default_hooks.visualization = {'type': 'SegVisualizationHook'}
    options.apply_show(cfg, False, 'pictures', 2)
    assert cfg.visualizer == {
        'type': 'mmseg.AVSLocalVisualizer',
        'name': 'visualizer',
        'vis_backends': [{'type': 'LocalVisBackend'}],
    }
    assert cfg.default_hooks.visualization.type == 'mmseg.AVSVisualizationHook'


@pytest.mark.parametrize('head', [{'num_classes': 70}, [{'num_classes': 70}]])
def test_classes_of_head_and_dataset_must_agree(config, head):
    cfg = train_and_test.load_config(args_to_train(config))
    cfg.model.decode_head = head
    with pytest.raises(
        UsageError,
        match=r'decode_head.num_classes is 70, but the dataset of '
        r'val_dataloader has 3 classes.*num_classes=3',
    ):
        config_checks.check_classes(cfg, ('val_dataloader',))


def test_classes_may_be_set_by_the_dataset_config(config):
    cfg = train_and_test.load_config(args_to_train(config))
    cfg.train_dataloader.dataset.metainfo = {'classes': ['background', 'dog']}
    with pytest.raises(UsageError, match='has 2 classes'):
        config_checks.check_classes(cfg, ('train_dataloader',))
    cfg.model.decode_head.num_classes = 2
    config_checks.check_classes(cfg, ('train_dataloader',))


def test_classes_are_counted_where_the_head_asks(config, folder_root):
    cfg = train_and_test.load_config(args_to_train(config))
    cfg.model.decode_head.num_classes = 'auto'
    names = ('train_dataloader', 'val_dataloader')
    for name in names:
        cfg[name].dataset = dict(
            type='AVSFolderDataset', data_root=str(folder_root)
        )
    config_checks.check_classes(cfg, names)
    # Two in the list, and the background.
    assert cfg.model.decode_head.num_classes == 3
    config_checks.check_classes(cfg, names)
    (folder_root / 'classes.txt').write_text('a\nb\nc\n')
    with pytest.raises(UsageError, match='is 3, but.*has 4 classes'):
        config_checks.check_classes(cfg, names)
    # Training and validation may differ by their own lists.
    (folder_root / 'fewer').write_text('a\n')
    cfg.model.decode_head.num_classes = 'auto'
    cfg.val_dataloader.dataset.class_file = 'fewer'
    with pytest.raises(UsageError, match='is 4, but.*val_dataloader has 2'):
        config_checks.check_classes(cfg, names)
    # Some of the listed classes may be chosen.
    del cfg.val_dataloader.dataset['class_file']
    for name in names:
        cfg[name].dataset.metainfo = dict(classes=('background', 'b'))
    cfg.model.decode_head.num_classes = 'auto'
    config_checks.check_classes(cfg, names)
    assert cfg.model.decode_head.num_classes == 2


def test_classes_that_nothing_tells_are_asked_for(config, folder_root):
    cfg = train_and_test.load_config(args_to_train(config))
    cfg.model.decode_head.num_classes = 'auto'
    cfg.train_dataloader.dataset = dict(
        type='AVSFolderDataset', data_root=str(folder_root / 'absent')
    )
    with pytest.raises(UsageError, match='absent/classes.txt.*one class'):
        config_checks.check_classes(cfg, ('train_dataloader',))
    with pytest.raises(UsageError, match="num_classes='auto' takes the numb"):
        config_checks.fill_num_classes(cfg, ('no_dataloader',))


def test_unknown_dataset(config):
    cfg = train_and_test.load_config(args_to_train(config))
    cfg.test_dataloader.dataset.type = 'AVSBenchSemantics'
    with pytest.raises(
        UsageError, match='test_dataloader: AVSBenchSemantics is not'
    ):
        config_checks.check_classes(cfg, ('test_dataloader',))


def test_resume_takes_a_checkpoint(config):
    cfg = Config.fromfile(config)
    options.apply_resume(cfg, 'some.pth')
    assert (cfg.resume, cfg.load_from) == (True, 'some.pth')


def test_resume_without_checkpoint_starts_anew(config, capsys):
    cfg = train_and_test.load_config(args_to_train(config))
    cfg.load_from = 'pretrained.pth'
    options.apply_resume(cfg, 'auto')
    # mmengine would resume from the pretrained weights.
    assert (cfg.resume, cfg.load_from) == (False, 'pretrained.pth')
    assert 'Nothing to resume in work_dirs/toy' in capsys.readouterr().out


def test_resume_finds_the_newest_whole_checkpoint(config):
    cfg = train_and_test.load_config(args_to_train(config, work_dir='run'))
    os.mkdir('run')
    for epoch in (2, 9, 10, 11):
        torch.save({'epoch': epoch}, f'run/epoch_{epoch}.pth')
    with open('run/epoch_11.pth', 'r+b') as file:
        file.truncate(300)
    options.apply_resume(cfg, 'auto')
    assert (cfg.resume, cfg.load_from) == (True, 'run/epoch_10.pth')


def test_no_resume(config):
    cfg = train_and_test.load_config(args_to_train(config))
    options.apply_resume(cfg, None)
    assert cfg.resume is False


def test_sound_wraps_the_test_dataset(config):
    cfg = train_and_test.load_config(args_to_train(config))
    inner = cfg.test_dataloader.dataset
    options.apply_sound(cfg, 'swapped')
    wrapper = cfg.test_dataloader.dataset
    assert wrapper.type == 'mmseg.CounterfactualAudioDataset'
    assert (wrapper.sound, wrapper.dataset) == ('swapped', inner)
    # What looks for the dataset itself still finds it.
    found = config_checks.datasets(cfg, ('test_dataloader',))
    assert [dataset for _, dataset in found] == [inner]


# --- Whole runs ---


def test_train_then_test(config, data_root):
    train_and_test.train(
        args_to_train(config, data_root=data_root, work_dir='run', seed=1)
    )
    assert Path('run/epoch_1.pth').is_file()

    scores = train_and_test.test(
        args_to_test(
            config,
            'run/epoch_1.pth',
            data_root=data_root,
            work_dir='tested',
            out='maps',
            show_dir='pictures',
            scores='made/scores.json',
        )
    )
    written = json.loads(Path('made/scores.json').read_text())
    assert written['metrics'] == scores
    assert written['checkpoint'] == 'run/epoch_1.pth'
    assert (written['sound'], written['tta']) == ('true', False)
    assert written['protocols'] == {
        'dataset': {'size': 'original', 'frames': 4}
    }
    assert 0 < scores['dataset/mIoU'] < 1
    assert {'dataset/ss/Fbeta', 'dataset/ms/Fbeta'} < set(scores)
    (saved,) = Path('tested').glob('*/*.json')
    assert json.loads(saved.read_text())['dataset/mIoU'] == pytest.approx(
        scores['dataset/mIoU']
    )

    expected = sorted(f'{sample_id}.png' for sample_id in FourFrames.IDS)
    for folder in ('maps', 'pictures'):
        files = Path(folder).rglob('*.png')
        assert sorted(str(f.relative_to(folder)) for f in files) == expected
    labels = cv2.imread('maps/-a_0_5000/0.png', cv2.IMREAD_UNCHANGED)
    assert labels.shape == (6, 8) and labels.max() < 3
    # The maps give the score back.
    hits = sum(
        (cv2.imread(f'maps/{sample_id}.png', -1) == i % 2).sum()
        for i, sample_id in enumerate(FourFrames.IDS)
    )
    assert scores['dataset/aAcc'] == hits / (4 * 48)

    train_and_test.train(
        args_to_train(
            config,
            data_root=data_root,
            work_dir='run',
            resume='auto',
            cfg_options=['train_cfg.max_epochs=2'],
        )
    )
    resumed = read_checkpoint('run/epoch_2.pth')
    assert resumed['meta']['iter'] == 4


def test_out_with_a_list_of_metrics_and_tta(config, data_root):
    model = PointwiseSegmentor({'num_classes': 3})
    weights = {f'module.{k}': v for k, v in model.state_dict().items()}
    torch.save({'state_dict': weights}, 'weights.pth')
    text = CONFIG.replace(
        "test_evaluator = dict(type='DatasetIoUFMetric')",
        'test_evaluator = val_evaluator',
    )
    text += "tta_model = dict(type='FirstViewTTAModel')\ntta_pipeline = []\n"
    Path(config).write_text(text)
    options.apply_tta(cfg := Config.fromfile(config))
    assert cfg.model.module.type == 'PointwiseSegmentor'
    assert cfg.test_dataloader.dataset.pipeline == []
    scores = train_and_test.test(
        args_to_test(
            config,
            'weights.pth',
            data_root=data_root,
            work_dir='tested',
            out='maps',
            sound='silence',
            scores='scores.json',
        )
    )
    assert 'dataset/mIoU' in scores
    written = json.loads(Path('scores.json').read_text())
    assert (written['sound'], written['tta']) == ('silence', False)
    (log,) = Path('tested').glob('*/*.log')
    assert 'These are scores with --sound silence.' in log.read_text()
    args = Namespace(sound='swapped', tta=True)
    assert train_and_test.unusual_options(args) == ['--sound swapped', '--tta']
    assert len(list(Path('maps').rglob('*.png'))) == 4


def test_train_refuses_what_is_wrong(config, data_root, capsys):
    Path('file').touch()
    torch.save({'conv1.weight': torch.zeros(1)}, 'foreign.pth')
    for wrong, message in (
        ({'config': 'none.py'}, 'config not found'),
        ({'cfg_options': ['x']}, "got 'x'"),
        (
            {'cfg_options': ['model.decode_head.num_classes=4']},
            'num_classes is 4',
        ),
        (
            {'cfg_options': ['train_dataloader=None']},
            'does not set train_dataloader',
        ),
        ({'data_root': 'nowhere'}, '--data-root is not a folder'),
        ({'data_root': '.'}, 'no frames in'),
        ({'work_dir': 'file/run'}, 'cannot write to'),
        ({'auto_scale_lr': True}, '--auto-scale-lr needs'),
        ({'resume': 'none.pth'}, 'checkpoint not found'),
        ({'resume': 'file'}, 'checkpoint file cannot be read'),
        ({'resume': 'foreign.pth'}, 'cannot be resumed from'),
        ({'cfg_options': ['load_from=foreign.pth']}, 'does not fit the model'),
        ({'cfg_options': ['model.type=NoSuchModel']}, 'NoSuchModel'),
        (
            {
                'cfg_options': [
                    'model.init_cfg.type=Pretrained',
                    'model.init_cfg.checkpoint=none.pth',
                ]
            },
            '--cfg-options model.init_cfg=None',
        ),
    ):
        arguments = {'data_root': data_root, **wrong}
        args = args_to_train(arguments.pop('config', config), **arguments)
        found = refused(train_and_test.train, args, capsys)
        assert message in found and found.startswith('train.py: error: ')


def test_test_refuses_what_is_wrong(config, data_root, capsys):
    Path('file').touch()
    model = PointwiseSegmentor({'num_classes': 3})
    torch.save({'state_dict': model.state_dict()}, 'good.pth')
    torch.save({'conv1.weight': torch.zeros(1)}, 'foreign.pth')
    for wrong, message in (
        ({'checkpoint': 'none.pth'}, 'checkpoint not found'),
        ({'checkpoint': 'file'}, 'checkpoint file cannot be read'),
        ({'checkpoint': 'foreign.pth'}, 'does not fit the model'),
        ({'out': 'file/maps'}, '--out'),
        ({'show_dir': 'file/maps'}, '--show-dir'),
        ({'show': True}, 'needs a display'),
        ({'tta': True}, '--tta needs tta_model and tta_pipeline'),
        ({'work_dir': 'file/run'}, '--work-dir'),
        (
            {'cfg_options': ['model.decode_head.num_classes=4']},
            'num_classes is 4',
        ),
        (
            {'cfg_options': ['test_evaluator=None']},
            'does not set test_evaluator',
        ),
    ):
        arguments = {'data_root': data_root, **wrong}
        checkpoint = arguments.pop('checkpoint', 'good.pth')
        found = refused(
            train_and_test.test,
            args_to_test(config, checkpoint, **arguments),
            capsys,
        )
        assert message in found and found.startswith('test.py: error: ')


def test_bad_label_met_while_testing(config, data_root, capsys, monkeypatch):
    model = PointwiseSegmentor({'num_classes': 3})
    torch.save({'state_dict': model.state_dict()}, 'good.pth')
    monkeypatch.setattr(
        torch, 'full', lambda shape, value: torch.zeros(shape).long() + 9
    )
    args = args_to_test(config, 'good.pth', data_root=data_root)
    found = refused(train_and_test.test, args, capsys)
    assert '-a_0_5000/0: the label holds the value 9' in found
