"""A dataset, a model and a config so small that whole runs take no time.

And an audio-visual model whose predictions are known.
"""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from mmengine.visualization import Visualizer
from mmseg.registry import DATASETS, MODELS
from mmseg.structures import SegDataSample
from torch.utils.data import Dataset

from mmcpm.apis import train_and_test
from mmcpm.models import BaseAVHead
from mmcpm.structures import AVPrediction
from mmcpm.visualization import AVSLocalVisualizer

CLASSES = ('background', 'bird', 'dog')
PALETTE = [[0, 0, 0], [200, 0, 0], [0, 200, 0]]
RATE = 16000


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
    for manager in (MMLogger, MessageHub, Visualizer, AVSLocalVisualizer):
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


@MODELS.register_module(force=True)
class PassOn(nn.Module):
    """Gives its input as the only level."""

    def forward(self, inputs):
        return (inputs,)


@MODELS.register_module(force=True)
class BrightAndLoudHead(BaseAVHead):
    """Bright pixels are class 1 while something sounds, and 2 if it is loud.

    The share of the window that sounds decides: at least one of its 96
    frames of spectrogram.
    """

    def loss(self, image_features, audio, data_samples):
        raise NotImplementedError

    def predict(self, image_features, encoded_audio, size):
        peak = encoded_audio.levels[0].amax((1, 2, 3))
        bright = image_features[0].mean(1) > 128
        scores = bright.new_zeros(
            len(bright), self.num_classes, *size, dtype=torch.float32
        )
        kind = (peak > 0.5).long() + (peak > 20).long()
        for image, (mask, k) in enumerate(zip(bright, kind, strict=True)):
            scores[image, 0] = 0.25
            scores[image, k] += 0.75 * mask
            scores[image, 0] += 0.75 * ~mask
        return AVPrediction(scores)


def make_config(channels='mono', step=None):
    """A config of that head, for frames of any size."""
    pipeline = [
        dict(type='LoadFrameFromFile'),
        dict(type='LoadAudioFromFile', channels=channels),
        dict(type='CutAudioToFrame'),
        dict(type='LoadAVSAnnotations'),
        dict(type='RecordSoundingClasses'),
        *([step] if step else []),
        dict(type='PackAVSInputs'),
    ]
    return Config(
        dict(
            default_scope='mmseg',
            model=dict(
                type='AVEncoderDecoder',
                data_preprocessor=dict(
                    type='SegDataPreProcessor',
                    mean=[0.0] * 3,
                    std=[1.0] * 3,
                    bgr_to_rgb=True,
                ),
                backbone=dict(type='PassOn'),
                audio_frontend=dict(
                    type='AudioFrontend', compression='linear'
                ),
                audio_backbone=dict(type='PassOn'),
                decode_head=dict(type='BrightAndLoudHead', num_classes=3),
                test_cfg=dict(mode='whole'),
            ),
            test_pipeline=pipeline,
            test_dataloader=dict(
                dataset=dict(
                    type='AVSBenchSemanticDataset',
                    metainfo=dict(
                        classes=('background', 'quiet', 'loud'),
                        palette=[(0, 0, 0), (255, 0, 0), (0, 0, 255)],
                    ),
                    pipeline=pipeline,
                )
            ),
        )
    )


@pytest.fixture(scope='session')
def bright_config():
    """The function that makes the config of a model that is known."""
    return make_config


@pytest.fixture
def inferencer():
    """An inferencer of that model."""
    from mmcpm.apis import AVSInferencer

    return AVSInferencer(make_config(), show_progress=False, device='cpu')


@pytest.fixture(scope='session')
def half_bright():
    """A frame of 24 x 32 whose right half is bright."""
    image = np.zeros((24, 32, 3), np.uint8)
    image[:, 16:] = 255
    return image


@pytest.fixture(scope='session')
def beeps():
    """Samples of which the named seconds sound, float32 [1, samples]."""

    def make(seconds, sounding, rate=RATE, level=0.5):
        time = np.arange(int(seconds * rate)) / rate
        wave = level * np.sin(2 * np.pi * 440 * time)
        wave *= np.isin(time.astype(int), sounding)
        return wave[None].astype(np.float32)

    return make
