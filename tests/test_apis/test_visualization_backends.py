"""Scalars and pictures of a training reach the back ends of mmengine."""

import json
import re
from pathlib import Path

import pytest

from mmcpm.apis import train_and_test

pytestmark = pytest.mark.usefixtures('new_process')

README = Path(__file__).resolve().parents[2] / 'tools/README.md'
BASE = """
visualizer = dict(
    type='AVSLocalVisualizer',
    name='visualizer',
    vis_backends=[dict(type='LocalVisBackend')])
default_hooks.update(
    logger=dict(type='LoggerHook', interval=1),
    visualization=dict(type='AVSVisualizationHook'))
"""


@pytest.fixture
def train(config, data_root, train_args):
    """Train as the README tells; returns the scalars of the local files."""
    (block,) = re.findall(
        r'^```python\n(visualizer = .*?)^```',
        README.read_text(),
        re.MULTILINE | re.DOTALL,
    )
    rest = README.read_text().partition(block)[2]
    options = re.search(r'`--cfg-options ([^`]*)`', rest)[1]

    def run(backend):
        path = Path(config)
        path.write_text(path.read_text() + BASE)
        child = path.with_name('child.py')
        text = block.replace('TensorboardVisBackend', backend)
        child.write_text(f"_base_ = './{path.name}'\n{text}")
        train_and_test.train(
            train_args(
                str(child),
                data_root=data_root,
                work_dir='run',
                seed=1,
                cfg_options=options.split(),
            )
        )
        (file,) = Path('run').glob('*/vis_data/scalars.json')
        return [json.loads(line) for line in file.read_text().splitlines()]

    return run


def test_tensorboard(train):
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import (
        EventAccumulator,
    )

    lines = train('TensorboardVisBackend')
    (file,) = Path('run').glob('*/vis_data/events.out.tfevents*')
    events = EventAccumulator(str(file), size_guidance={'images': 0})
    events.Reload()
    for key in ('loss', 'dataset/mIoU'):
        expected = [
            (line['step'], pytest.approx(line[key], rel=1e-5))
            for line in lines
            if key in line
        ]
        found = [(event.step, event.value) for event in events.Scalars(key)]
        assert found == expected and found
    # The steps of the training, and one validation.
    assert len(events.Scalars('loss')) == 2
    assert len(events.Scalars('dataset/mIoU')) == 1
    pictures = events.Tags()['images']
    assert len(pictures) == 4 and 'val_-a_0_5000_0' in pictures
    (picture,) = events.Images('val_-a_0_5000_0')
    assert picture.encoded_image_string.startswith(b'\x89PNG')
    assert picture.width >= 900


def test_wandb_offline(train, monkeypatch):
    pytest.importorskip('wandb')
    monkeypatch.setenv('WANDB_MODE', 'offline')
    train('WandbVisBackend')
    (record,) = Path('run').glob('*/vis_data/wandb/offline-run-*/*.wandb')
    content = record.read_bytes()
    assert b'dataset/mIoU' in content
    assert b'val_-a_0_5000_0' in content
