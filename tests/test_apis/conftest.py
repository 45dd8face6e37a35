"""A dataset, a model and a config so small that whole runs take no time."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn as nn
from mmengine.logging import MessageHub, MMLogger
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from mmengine.visualization import Visualizer
from mmseg.registry import DATASETS, MODELS
from mmseg.structures import SegDataSample
from torch.utils.data import Dataset

from mmcpm.apis import train_and_test

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


@pytest.fixture
def new_process(tmp_path, monkeypatch):
    """Tools start in an empty folder, with nothing of an earlier run."""
    monkeypatch.chdir(tmp_path)
    for name in ('RANK', 'DISPLAY', 'WAYLAND_DISPLAY'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('LOCAL_RANK', '0')
    # Runs started within one second share their logger, and with it the
    # captured output of an earlier test.
    for manager in (MMLogger, MessageHub, Visualizer):
        manager._instance_dict.clear()


@pytest.fixture
def config(tmp_path, new_process):
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


@pytest.fixture
def load(config, train_args):
    """The function that reads the config with options of tools/train.py."""
    return lambda config=config, **options: train_and_test.load_config(
        train_args(config, **options)
    )
