from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine import Config
from mmengine.dataset import DefaultSampler, pseudo_collate
from mmengine.runner import Runner
from mmseg.models import SegDataPreProcessor
from mmseg.registry import DATASETS, METRICS

import mmcpm

CONFIG = Path(mmcpm.__file__).parents[1] / 'configs/_base_/datasets/avss.py'
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')

pytestmark = pytest.mark.usefixtures('mmseg_scope')


@pytest.fixture
def config(avss_root):
    cfg = Config.fromfile(CONFIG)
    for name in LOADERS:
        cfg[name].dataset.data_root = str(avss_root)
        cfg[name].num_workers = 0
    return cfg


@pytest.mark.parametrize('name', LOADERS)
def test_loaders_are_built_and_iterated(config, name):
    loader = Runner.build_dataloader(config[name], seed=0)
    num_samples = {
        'train_dataloader': 6,
        'val_dataloader': 20,
        'test_dataloader': 20,
    }[name]
    assert len(loader.dataset) == num_samples
    batches = [len(batch['inputs']) for batch in loader]
    assert sum(batches) == num_samples
    assert not loader.persistent_workers
    assert isinstance(loader.sampler, DefaultSampler)
    if name != 'train_dataloader':
        assert set(batches) == {1}
        assert loader.dataset.test_mode
        assert not loader.sampler.round_up


def test_protocol_of_the_paper(config):
    assert config.train_dataloader.batch_size == 16
    assert config.data_root == 'data/AVSBench-Semantic'
    splits = [config[name].dataset.split for name in LOADERS]
    assert splits == ['train', 'val', 'test']
    steps = {step['type']: step for step in config.train_pipeline}
    assert steps['RandomRescale']['ratio_range'] == (0.5, 2.0)
    assert steps['RandomCrop']['crop_size'] == (512, 512)
    assert steps['RandomFlip']['prob'] == 0.5
    assert 'PhotoMetricDistortion' in steps
    assert not {'RandomRescale', 'RandomFlip', 'RandomCrop'} & {
        step['type'] for step in config.test_pipeline
    }
    assert config.val_evaluator == config.test_evaluator
    kinds = [evaluator['type'] for evaluator in config.test_evaluator]
    assert kinds == ['DatasetIoUFMetric', 'CoverageMetric']
    for evaluator in config.test_evaluator:
        assert METRICS.build(evaluator) is not None


def test_test_frames_keep_their_size(config):
    data = DATASETS.build(config.test_dataloader.dataset)
    shapes = {tuple(data[i]['inputs'].shape[1:]) for i in (0, 5, 10)}
    assert shapes == {(36, 40), (48, 64)}


def test_sound_reaches_the_model(config, sine_second):
    """From files to what a segmentor's loss receives."""
    data = DATASETS.build(config.train_dataloader.dataset)
    batch = pseudo_collate([data[i] for i in range(len(data))])
    preprocess = SegDataPreProcessor(
        mean=[0, 0, 0], std=[1, 1, 1], size=(512, 512)
    )
    batch = preprocess(batch, training=True)
    assert batch['inputs'].shape == (6, 3, 512, 512)
    for sample in batch['data_samples']:
        assert sample.gt_sem_seg.data.shape == (1, 512, 512)
        assert torch.is_tensor(sample.audio)
        assert sample.audio.shape == (1, 16000)
        assert sample.audio_valid_samples == 16000
        # The drawn frame's own second, to the precision of 16 bits.
        expected = sine_second(sample.frame_index)
        assert np.abs(sample.audio[0].numpy() - expected).max() < 1e-4
        assert sample.sample_id == f'{sample.uid}/{sample.frame_index}'
        foreground = set(sample.gt_sem_seg.data.unique().tolist())
        assert foreground - {0, 255} <= set(sample.audio_labels)
    assert [s.subset for s in batch['data_samples']] == [
        'v1s', 'v1s', 'v1m', 'v1m', 'v2', 'v2'
    ]  # fmt: skip


def test_every_frame_is_paired_with_its_second(config, sine_second):
    """Frame i has gray level 20 + 20 i and hears second i."""
    data = DATASETS.build(config.test_dataloader.dataset)
    for i in range(len(data)):
        packed = data[i]
        sample = packed['data_samples']
        gray = packed['inputs'].float().mean().item()
        assert gray == pytest.approx(20 + 20 * sample.frame_index, abs=2)
        expected = sine_second(sample.frame_index)
        assert np.abs(sample.audio[0].numpy() - expected).max() < 1e-4


def test_labels_are_recorded_before_the_crop(config):
    cfg = config.train_dataloader.dataset
    steps = [step['type'] for step in cfg.pipeline]
    cfg.pipeline[steps.index('RandomCrop')]['crop_size'] = (4, 4)
    data = DATASETS.build(cfg)
    samples = [data[i]['data_samples'] for i in range(len(data))]
    # The fixture gives clip n the classes n + 1 and n + 2.
    assert [sample.audio_labels for sample in samples] == [
        (n + 1, n + 2) for n in range(6)
    ]
    seen = [set(s.gt_sem_seg.data.unique().tolist()) for s in samples]
    assert any(
        len(classes & {n + 1, n + 2}) < 2 for n, classes in enumerate(seen)
    )
