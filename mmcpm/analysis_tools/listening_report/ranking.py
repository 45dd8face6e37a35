"""Clips by how much their sound matters."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mmcpm.evaluation import DatasetIoUFMetric
from mmcpm.evaluation.metrics.frame_metric import clip_of


def agreement(metric: DatasetIoUFMetric) -> dict[str, float]:
    """Compare the foreground of each frame with its label.

    Args:
        metric (DatasetIoUFMetric): Metric that has counted the frames.

    Returns:
        dict[str, float]: By ``sample_id``: pixels of the right class over
        those in which anything is labeled or segmented; 1 if nothing is.
    """
    num_classes = len(metric.classes)
    found = {}
    for name, _, entries, counts in metric.results:
        label, predicted = np.divmod(entries, num_classes)
        union = counts[(label > 0) | (predicted > 0)].sum()
        hits = counts[(label > 0) & (label == predicted)].sum()
        found[name] = float(hits / union) if union else 1.0
    return found


def labeled_share(metric: DatasetIoUFMetric) -> dict[str, float]:
    """Tell how much of each frame is labeled as sounding.

    Args:
        metric (DatasetIoUFMetric): Metric that has counted the frames.

    Returns:
        dict[str, float]: Share of the pixels, by ``sample_id``.
    """
    return {
        name: float(
            counts[entries // len(metric.classes) > 0].sum()
            / max(counts.sum(), 1)
        )
        for name, _, entries, counts in metric.results
    }


class Ranked(NamedTuple):
    """A clip, and how much its sound matters.

    Attributes:
        clip (str): Name of the clip.
        difference (float): Mean over its frames of the agreement with the
            true sound less that with sounds of nothing in view.
        frame (str): The ``sample_id`` in which most is labeled.
    """

    clip: str
    difference: float
    frame: str


def rank_clips(
    true: Mapping[str, float],
    negatives: Sequence[Mapping[str, float]],
    labeled: Mapping[str, float],
) -> list[Ranked]:
    """Order clips by how much their sound matters.

    Args:
        true (Mapping[str, float]): Agreement of each frame with the true
            sound.
        negatives (Sequence[Mapping[str, float]]): Those with others.
        labeled (Mapping[str, float]): Share of each frame that is labeled.

    Returns:
        list[Ranked]: Clips with something labeled, those first in which
        sound matters most.
    """
    frames: dict[str, list[str]] = {}
    for name in sorted(true):
        frames.setdefault(clip_of(name), []).append(name)
    ranked = []
    for clip, names in frames.items():
        largest = max(names, key=labeled.__getitem__)
        if not labeled[largest]:
            continue
        difference = np.mean(
            [true[n] - np.mean([neg[n] for neg in negatives]) for n in names]
        )
        ranked.append(Ranked(clip, float(difference), largest))
    return sorted(ranked, key=lambda each: (-each.difference, each.clip))
