"""Frames to score, and what a Runner does with a metric."""

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import PixelData
from mmseg.registry import METRICS
from mmseg.structures import SegDataSample

AT_224 = ('AVSBenchJFMetric', 'AVSSLegacyMetric')


def make_frame(prediction, label, sample_id='clip/0', scores=None, **metainfo):
    sample = SegDataSample(metainfo={'sample_id': sample_id, **metainfo})
    sample.gt_sem_seg = PixelData(data=torch.as_tensor(np.array(label))[None])
    sample.pred_sem_seg = PixelData(
        data=torch.as_tensor(np.array(prediction))[None]
    )
    if scores is not None:
        sample.seg_logits = PixelData(data=torch.as_tensor(scores))
    return sample


def run_metric(metric, samples, num_classes, batch_size=1, size=None):
    small = dict(size=None) if metric['type'] in AT_224 else {}
    if metric['type'] == 'AVSBenchJFMetric':
        small['frames_per_video'] = None
    metric = METRICS.build({**small, **metric})
    evaluator = Evaluator(metric)
    evaluator.dataset_meta = {
        'classes': ('background', *'abcdefgh'[: num_classes - 1])
    }
    for start in range(0, len(samples), batch_size):
        evaluator.process(samples[start : start + batch_size])
    scores = evaluator.evaluate(len(samples) if size is None else size)
    # What the frames of these tests are is not told again in every test.
    return {
        key.replace('_original', '').replace('_anyframes', ''): scores[key]
        for key in scores
    }


@pytest.fixture(scope='session')
def frame():
    """Make a frame that was segmented: maps (H, W), scores (C, H, W)."""
    return make_frame


@pytest.fixture(scope='session')
def score():
    """Score frames with a metric given by its configuration."""
    return run_metric


@pytest.fixture
def random_maps(seed):
    """Number of classes; predictions and labels of some sizes.

    Some classes are absent, and some pixels are to be ignored.
    """
    rng = np.random.default_rng(seed)
    num_classes = int(rng.integers(2, 7))
    maps = []
    for _ in range(rng.integers(1, 6)):
        size = rng.integers(1, 9, 2)
        top = rng.integers(1, num_classes + 1)  # Later classes are absent.
        label = rng.integers(0, rng.choice([1, top]), size)
        label[rng.random(size) < rng.choice([0, 0.3, 1])] = 255
        maps.append((rng.integers(0, top, size), label))
    return num_classes, maps


@pytest.fixture
def printed(monkeypatch):
    """What metrics print."""
    lines = []
    for name in (
        'frame_metric',
        'dataset_iou_f',
        'avsbench_jf',
        'avss_legacy',
    ):
        monkeypatch.setattr(
            f'mmcpm.evaluation.metrics.{name}.print_log',
            lambda message, **kwargs: lines.append(message),
        )
    return lines
