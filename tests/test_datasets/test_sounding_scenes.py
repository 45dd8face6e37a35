from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.registry import DATASETS

import mmcpm
from mmcpm.dataset_converters.sounding_scenes.presets import PRESETS
from mmcpm.dataset_converters.sounding_scenes.scene import make_clip
from mmcpm.dataset_converters.sounding_scenes.writer import (
    write_sounding_scenes,
)

CONFIG = (
    Path(mmcpm.__file__).parents[1]
    / 'configs/_base_/datasets/sounding_scenes_demo.py'
)
DEMO = PRESETS['demo']


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'scenes'
    write_sounding_scenes(root, clips=(5, 5, 5), workers=0)
    init_default_scope('mmseg')
    config = Config.fromfile(CONFIG)
    for name in ('train', 'val', 'test'):
        loader = config[f'{name}_dataloader']
        loader.dataset.data_root = str(root)
        loader.num_workers = 0
    return config


@pytest.mark.parametrize(
    ('split', 'frames'), [('train', 36), ('val', 40), ('test', 40)]
)
def test_every_labeled_frame_is_a_sample(config, split, frames):
    dataset = DATASETS.build(config[f'{split}_dataloader'].dataset)
    assert len(dataset) == frames
    assert dataset.metainfo['classes'] == DEMO.class_names
    assert len(dataset.metainfo['palette']) == 9


def test_a_sample_is_the_clip_at_its_second(config):
    dataset = DATASETS.build(config.test_dataloader.dataset)
    clip = make_clip(DEMO, 'test', 0)
    sample = dataset[4]
    truth = sample['data_samples']
    assert truth.sample_id == 'test00000_0_10000/4'
    np.testing.assert_array_equal(truth.gt_sem_seg.data[0], clip.labels[4])
    assert truth.audio_labels == clip.schedule.sounding[4]
    np.testing.assert_allclose(
        truth.audio[0], clip.waveform[4 * 16000 : 5 * 16000], atol=2**-15
    )
    # Images are read as BGR, as mmseg does.
    frame = sample['inputs'].numpy()[::-1].transpose(1, 2, 0).astype(float)
    assert np.abs(frame - clip.world.frames[4]).mean() < 8


def test_the_configured_loader_gives_batches(config):
    batch = next(iter(Runner.build_dataloader(config.train_dataloader)))
    assert len(batch['inputs']) == 8
    for image, sample in zip(
        batch['inputs'], batch['data_samples'], strict=True
    ):
        assert image.shape == (3, 96, 96) and image.dtype == torch.uint8
        assert sample.audio.shape == (1, 16000)
        assert sample.gt_sem_seg.data.max() <= 8
