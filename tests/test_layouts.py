"""Training and test on generated data in the layout of every dataset."""

import json
from argparse import Namespace
from pathlib import Path

import pytest

from mmcpm.apis import train_and_test
from mmcpm.dataset_converters.sounding_scenes.writer import (
    write_sounding_scenes,
)

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
# Smaller than what is shipped, and from scratch anyway.
CONFIG = """
_base_ = [{config!r}]
model = dict(
    data_preprocessor=dict(size=(64, 64)),
    backbone=dict(base_channels=8, stem_channels=8),
    audio_backbone=dict(base_channels=4),
    audio_neck=dict(in_channels=[8, 16, 32]),
    decode_head=dict(
        in_channels=[8, 16, 32, 64],
        num_queries=6,
        pixel_decoder=dict(encoder=dict(num_layers=1)),
        transformer_decoder=dict(num_layers=1),
        train_cfg=dict(num_points=64),
    ),
)
train_cfg = dict(max_epochs=1)
train_dataloader = dict(batch_size=2, num_workers=0, dataset=dict(indices=4))
val_dataloader = dict(batch_size=2, num_workers=0, dataset=dict(indices=5))
test_dataloader = dict(batch_size=2, num_workers=0, dataset=dict(indices=5))
"""
SCORES = {
    's4': 'avsbench_original/JF',
    'ms3': 'avsbench_original/JF',
    'vpo_ss': 'dataset/mIoU',
    'vpo_ms': 'dataset/mIoU',
    'vpo_msmi': 'dataset/mIoU',
    'vpo_msmi_mono': 'dataset/mIoU',
}


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """Make data in a layout, once."""
    folder = tmp_path_factory.mktemp('layouts')

    def make(layout):
        root = folder / layout
        sizes = dict(size=64, clips=(8, 4, 4), workers=0)
        write_sounding_scenes(root, layout=layout, **sizes)
        return root

    return make


@pytest.mark.parametrize('name', SCORES)
def test_a_short_epoch_and_a_test(scenes, tmp_path, monkeypatch, name):
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)
    monkeypatch.setenv('LOCAL_RANK', '0')
    config = tmp_path / f'{name}.py'
    shipped = ROOT / f'configs/cpm/cpm_r18_scenes_{name}.py'
    config.write_text(CONFIG.format(config=str(shipped)))
    shared = dict(
        config=str(config),
        work_dir=str(tmp_path / 'work'),
        data_root=str(scenes(name.removesuffix('_mono'))),
        **dict(seed=None, cfg_options=None, launcher='none', local_rank=0),
    )
    train_and_test.train(
        Namespace(**shared, resume=None, amp=False, auto_scale_lr=False)
    )
    (best,) = (tmp_path / 'work').glob('best_*.pth')
    scores = tmp_path / 'scores.json'
    train_and_test.test(
        Namespace(
            **shared,
            checkpoint=str(best),
            scores=str(scores),
            **dict.fromkeys(('out', 'show_dir')),
            **dict(show=False, wait_time=0.0, tta=False, sound='true'),
        )
    )
    metrics = json.loads(scores.read_text())['metrics']
    assert 0 <= metrics[SCORES[name]] <= 1
