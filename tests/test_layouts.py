"""Training and test on generated data in the layout of every dataset."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

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


def run(tool, *arguments):
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', ROOT / 'tools' / tool, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """Make data in a layout, once."""
    folder = tmp_path_factory.mktemp('layouts')

    def make(layout):
        root = folder / layout
        if not root.exists():
            run(
                'dataset_converters/make_sounding_scenes.py',
                *(root, '--layout', layout, '--size', '64'),
                *('--clips', '8', '4', '4'),
            )
        return root

    return make


@pytest.mark.parametrize('name', SCORES)
def test_a_short_epoch_and_a_test(scenes, tmp_path, name):
    data = ('--data-root', scenes(name.removesuffix('_mono')))
    config = tmp_path / f'{name}.py'
    shipped = ROOT / f'configs/cpm/cpm_r18_scenes_{name}.py'
    config.write_text(CONFIG.format(config=str(shipped)))
    work_dir = ('--work-dir', tmp_path / 'work')
    run('train.py', config, *data, *work_dir)
    (best,) = (tmp_path / 'work').glob('best_*.pth')
    scores = tmp_path / 'scores.json'
    run('test.py', config, best, *data, *work_dir, '--scores', scores)
    metrics = json.loads(scores.read_text())['metrics']
    assert 0 <= metrics[SCORES[name]] <= 1
