"""A model small enough for unit tests, and batches to feed it with."""

from pathlib import Path

import pytest
import torch
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
    cfg = Config.fromfile(CONFIGS / '_base_/models/cpm_base_r18_tiny.py')
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
