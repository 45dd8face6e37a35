import json
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import MODELS

from mmcpm.apis import options, train_and_test
from mmcpm.utils.checkpoints import read_checkpoint

IDS = ('-a_0_5000/0', '-a_0_5000/1', '__b_0_5000/0', '__b_0_5000/1')

pytestmark = pytest.mark.usefixtures('new_process')


def refused(call, args, capsys):
    """Run a tool that must refuse; return its message."""
    with pytest.raises(SystemExit) as exit:
        call(args)
    assert exit.value.code == 2
    message = capsys.readouterr().err
    assert 'Traceback' not in message
    return message


def test_train_then_test(config, data_root, train_args, test_args):
    train_and_test.train(
        train_args(config, data_root=data_root, work_dir='run', seed=1)
    )
    assert Path('run/epoch_1.pth').is_file()

    scores = train_and_test.test(
        test_args(
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

    expected = sorted(f'{sample_id}.png' for sample_id in IDS)
    for folder in ('maps', 'pictures'):
        files = Path(folder).rglob('*.png')
        assert sorted(str(f.relative_to(folder)) for f in files) == expected
    labels = cv2.imread('maps/-a_0_5000/0.png', cv2.IMREAD_UNCHANGED)
    assert labels.shape == (6, 8) and labels.max() < 3
    # The maps give the score back.
    hits = sum(
        (cv2.imread(f'maps/{sample_id}.png', -1) == i % 2).sum()
        for i, sample_id in enumerate(IDS)
    )
    assert scores['dataset/aAcc'] == hits / (4 * 48)

    train_and_test.train(
        train_args(
            config,
            data_root=data_root,
            work_dir='run',
            resume='auto',
            cfg_options=['train_cfg.max_epochs=2'],
        )
    )
    resumed = read_checkpoint('run/epoch_2.pth')
    assert resumed['meta']['iter'] == 4


def test_out_with_a_list_of_metrics_and_tta(config, data_root, test_args):
    model = MODELS.get('PointwiseSegmentor')({'num_classes': 3})
    weights = {f'module.{k}': v for k, v in model.state_dict().items()}
    torch.save({'state_dict': weights}, 'weights.pth')
    text = (
        Path(config)
        .read_text()
        .replace(
            "test_evaluator = dict(type='DatasetIoUFMetric')",
            'test_evaluator = val_evaluator',
        )
    )
    text += "tta_model = dict(type='FirstViewTTAModel')\ntta_pipeline = []\n"
    Path(config).write_text(text)
    options.apply_tta(cfg := Config.fromfile(config))
    assert cfg.model.module.type == 'PointwiseSegmentor'
    assert cfg.test_dataloader.dataset.pipeline == []
    scores = train_and_test.test(
        test_args(
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


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['train_dataloader=None'], 'does not set train_dataloader'),
        (['load_from=foreign.pth'], 'does not fit the model'),
        (['model.type=NoSuchModel'], 'NoSuchModel'),
        (
            ['model.init_cfg.type=Pretrained', 'model.init_cfg.checkpoint=no'],
            '--cfg-options model.init_cfg=None',
        ),
    ],
)
def test_training_is_refused(
    config, data_root, capsys, train_args, options, message
):
    """What is not among the bad input of tests/test_bad_input."""
    torch.save({'conv1.weight': torch.zeros(1)}, 'foreign.pth')
    args = train_args(config, data_root=data_root, cfg_options=options)
    assert message in refused(train_and_test.train, args, capsys)


def test_test_without_its_metrics_is_refused(config, capsys, test_args):
    args = test_args(config, 'x.pth', cfg_options=['test_evaluator=None'])
    found = refused(train_and_test.test, args, capsys)
    assert 'does not set test_evaluator' in found


def test_bad_label_met_while_testing(
    config, data_root, capsys, monkeypatch, test_args
):
    model = MODELS.get('PointwiseSegmentor')({'num_classes': 3})
    torch.save({'state_dict': model.state_dict()}, 'good.pth')
    monkeypatch.setattr(
        torch, 'full', lambda shape, value: torch.zeros(shape).long() + 9
    )
    args = test_args(config, 'good.pth', data_root=data_root)
    found = refused(train_and_test.test, args, capsys)
    assert '-a_0_5000/0: the label holds the value 9' in found


def test_scores_of_any_metric_can_be_written(tmp_path, test_args):
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
    args = test_args('c.py', 'c.pth', scores=str(path))
    train_and_test.write_scores(args, scores, runner)
    assert json.loads(path.read_text())['metrics'] == {
        'one': 0.5,
        'each': [1, 2],
        'two': 0.25,
        'none': None,
    }


# A rate of 0.1 for 16 frames per step; batches of 2.
@pytest.mark.parametrize(
    ('accumulated', 'ranks', 'rate'),
    [(1, 1, 0.0125), (4, 1, 0.05), (4, 2, 0.1), (3, 1, 0.0375), (8, 4, 0.4)],
)
def test_rate_is_scaled_with_the_frames_of_an_update(
    config, data_root, monkeypatch, accumulated, ranks, rate, train_args
):
    lines = [
        f'optim_wrapper.update(accumulative_counts={accumulated})',
        "optim_wrapper['paramwise_cfg'] = dict(bias_lr_mult=2.0)",
        'auto_scale_lr = dict(base_batch_size=16)',
        "param_scheduler = [dict(type='ConstantLR', factor=1.0)]",
        "default_hooks = dict(checkpoint=dict(type='CheckpointHook'))",
    ]
    Path(config).write_text(Path(config).read_text() + '\n'.join(lines))
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
        train_args(config, data_root=data_root, auto_scale_lr=True)
    )
    assert rates == [pytest.approx([rate, 2 * rate])]
