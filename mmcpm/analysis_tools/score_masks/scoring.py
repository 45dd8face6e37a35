"""Scores of all frames of a dataset, and of groups of them."""

import contextlib
import logging
from collections.abc import Iterator, Sequence

import numpy as np
from mmengine.logging import MMLogger

from mmcpm.evaluation import (
    AVSBenchJFMetric,
    DatasetIoUFMetric,
    per_class_scores,
)
from mmcpm.evaluation.metrics.avss_legacy import sum_frame_scores
from mmcpm.evaluation.metrics.dataset_iou_f import sum_confusions

from .protocols import PUBLISHED_SIZE, Sizes, Variant

# What the dataset tells of a frame by which frames are grouped.
GROUPS = ('subset', 'sources', 'category')


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep metrics from printing their own tables."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def wanted_sizes(
    labels: Sequence[tuple[int, int]],
    masks: Sequence[tuple[int, int]],
    may_resize: bool,
) -> list[Sizes]:
    """Choose the sizes at which masks are scored.

    Args:
        labels (Sequence[tuple[int, int]]): Height and width of the label of
            each frame.
        masks (Sequence[tuple[int, int]]): Those of its prediction.
        may_resize (bool): Whether predictions may be resized.

    Returns:
        list[Sizes]: At the size of the label files, and at the published
        one. Empty if predictions would have to be resized, but must not.
    """
    same = may_resize or list(labels) == list(masks)
    if set(labels) == {PUBLISHED_SIZE}:
        return [Sizes(PUBLISHED_SIZE, None)] if same else []
    sizes = [Sizes(None, None)] if same else []
    if may_resize or set(masks) == {PUBLISHED_SIZE}:
        sizes.append(Sizes(PUBLISHED_SIZE, PUBLISHED_SIZE))
    return sizes


def score_groups(
    variant: Variant, infos: dict[str, dict]
) -> dict[str, dict[str, float]]:
    """Score all frames, and those of each group.

    Args:
        variant (Variant): Protocol that has counted the frames.
        infos (dict[str, dict]): What is known of each frame.

    Returns:
        dict[str, dict[str, float]]: Scores by name, in [0, 1], by group:
        'all', and values of ``subset``, ``sources`` and ``category`` where
        the frames differ in them.
    """
    results = sorted(variant.metric.results, key=lambda frame: frame[0])
    groups = {'all': results}
    for key in GROUPS:
        values = {info[key] for info in infos.values() if key in info}
        if len(values) < 2:
            continue
        for value in sorted(values):
            groups[str(value)] = [
                frame for frame in results if infos[frame[0]].get(key) == value
            ]
    with quiet():
        return {
            name: _own_scores(variant.metric.compute_metrics(frames))
            for name, frames in groups.items()
        }


def _own_scores(scores: dict[str, float]) -> dict[str, float]:
    """Leave out the groups that a metric makes itself."""
    return {
        key: value
        for key, value in scores.items()
        if not key.startswith(('ss/', 'ms/'))
    }


def score_classes(
    variant: Variant,
) -> dict[str, np.ndarray]:
    """Score each class under a protocol that scores classes.

    Args:
        variant (Variant): Protocol that has counted the frames.

    Returns:
        dict[str, np.ndarray]: ``IoU`` and ``Fbeta``, float64 in [0, 1] or
        NaN, and ``frames`` (in which the class is labeled; of the legacy
        protocol: labeled or predicted), shape (K,). Empty for AVSBench's,
        and with padded frames, which change the background only.
    """
    metric = variant.metric
    results = sorted(metric.results, key=lambda frame: frame[0])
    if isinstance(metric, AVSBenchJFMetric) or getattr(
        metric, 'include_padded', False
    ):
        return {}
    num_classes = len(metric.classes)
    if isinstance(metric, DatasetIoUFMetric):
        scores = per_class_scores(sum_confusions(results, num_classes))
        labeled = np.array([metric.label_pixels(f) for f in results]) > 0
        return {
            'IoU': scores['IoU'],
            'Fbeta': scores['Fbeta'],
            'frames': labeled.sum(0),
        }
    iou, f_beta, frames = sum_frame_scores(results, num_classes)
    with np.errstate(invalid='ignore'):
        return {
            'IoU': iou / frames,
            'Fbeta': f_beta / frames,
            'frames': frames,
        }
