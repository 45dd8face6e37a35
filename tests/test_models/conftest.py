"""A model small enough for unit tests, and batches to feed it with."""

from pathlib import Path

import pytest
import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

import mmcpm  # noqa: F401

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


@pytest.fixture
def tiny_cfg():
    """Configuration of the scenes model with fewer points."""
    init_default_scope('mmseg')
    cfg = Config.fromfile(CONFIGS / '_base_/models/avmask2former_r18_tiny.py')
    cfg.model.decode_head.train_cfg.num_points = 64
    cfg.model.data_preprocessor.size = (64, 64)
    return cfg.model


@pytest.fixture
def tiny_model(tiny_cfg):
    torch.manual_seed(0)
    return MODELS.build(tiny_cfg)


@pytest.fixture
def cpm_cfg():
    """Configuration of the full CPM with fewer points."""
    init_default_scope('mmseg')
    cfg = Config.fromfile(CONFIGS / '_base_/models/cpm_r18_tiny.py')
    cfg.model.decode_head.train_cfg.num_points = 64
    cfg.model.data_preprocessor.size = (64, 64)
    return cfg.model


@pytest.fixture
def make_batch():
    """Make a raw batch as a dataloader yields it."""

    def make(batch_size=2, size=64, labels=(1, 3), seed=0, samples=16000):
        generator = torch.Generator().manual_seed(seed)
        data_samples, inputs = [], []
        for index in range(batch_size):
            label = torch.zeros(1, size, size, dtype=torch.long)
            for slot, class_id in enumerate(labels):
                start = slot * size // 2
                label[:, start : start + size // 3, : size // 2] = class_id
            data_sample = SegDataSample(
                metainfo=dict(
                    ori_shape=(size, size),
                    img_shape=(size, size),
                    img_path=f'clip/{index}.jpg',
                    sample_id=f'clip/{index}',
                    audio_labels=tuple(sorted(labels)),
                )
            )
            data_sample.gt_sem_seg = PixelData(data=label)
            data_sample.audio = 0.1 * torch.randn(
                1, samples, generator=generator
            )
            data_samples.append(data_sample)
            inputs.append(
                torch.randint(
                    0,
                    256,
                    (3, size, size),
                    generator=generator,
                    dtype=torch.uint8,
                )
            )
        return dict(inputs=inputs, data_samples=data_samples)

    return make


@pytest.fixture
def marked_levels():
    """Replace the audio neck of a model by one whose levels are known.

    From fine to coarse, as a neck gives them, all their values are 1, 2 and
    3, plus 10 where the sound is a mixture of two.
    """

    class Neck(nn.Module):
        # One second, 96 x 256, at strides 4, 8 and 16.
        SIZES = ((24, 64), (12, 32), (6, 16))

        def forward(self, spectrogram):
            # Waveforms of the tests are of one level: mixtures are louder.
            loud = spectrogram.mean((1, 2, 3)) > self.threshold
            return [
                (value + 10.0 * loud)[:, None, None, None].expand(
                    -1, 64, *size
                )
                for value, size in enumerate(self.SIZES, start=1)
            ]

    def replace(model, waveform):
        _, spectrogram = model.audio_frontend(waveform)
        model.audio_backbone = nn.Identity()
        model.audio_neck = Neck()
        model.audio_neck.threshold = spectrogram.mean((1, 2, 3)).max() + 0.1
        return Neck.SIZES

    return replace
