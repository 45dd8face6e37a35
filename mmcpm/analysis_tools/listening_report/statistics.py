"""Scores as sums over clips, and how sure they are.

Every protocol is a function of sums over clips. So the scores of a thousand
random draws of clips (a bootstrap) are a product of matrices away, and the
same draws serve all sounds: differences between sounds are paired.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mmcpm.evaluation import (
    AVSBenchJFMetric,
    AVSSLegacyMetric,
)
from mmcpm.evaluation.metrics.avsbench_jf import (
    F_BETA_SQUARED,
    jaccard,
    video_f,
)
from mmcpm.evaluation.metrics.avss_legacy import frame_scores
from mmcpm.evaluation.metrics.dataset_iou_f import sum_confusions
from mmcpm.evaluation.metrics.frame_metric import FrameMetric, clip_of

CONFIDENCE = 0.95


class ClipSums(NamedTuple):
    """What a metric has counted, clip by clip.

    Attributes:
        kind (str): 'dataset', 'avss_legacy' or 'avsbench'.
        clips (list[str]): Names of the C clips.
        sums (dict[str, np.ndarray]): Sums over the frames of each clip,
            float64, shape (C,) or (C, K).
    """

    kind: str
    clips: list[str]
    sums: dict[str, np.ndarray]


def sum_clips(metric: FrameMetric) -> ClipSums:
    """Add up what a metric has counted in the frames of each clip.

    Args:
        metric (FrameMetric): Metric of one of the three protocols, after its
            last frame.

    Returns:
        ClipSums: The sums.
    """
    clips: dict[str, list] = {}
    for frame in sorted(metric.results, key=lambda frame: frame[0]):
        clips.setdefault(clip_of(frame[0]), []).append(frame)
    if isinstance(metric, AVSBenchJFMetric):
        kind, one = 'avsbench', _sum_jf
    elif isinstance(metric, AVSSLegacyMetric):
        kind, one = 'avss_legacy', _sum_legacy
    else:
        kind, one = 'dataset', _sum_dataset
    num_classes = len(metric.classes)
    rows = [one(frames, num_classes) for frames in clips.values()]
    return ClipSums(
        kind,
        list(clips),
        {key: np.array([row[key] for row in rows], float) for key in rows[0]},
    )


def _sum_jf(frames: list, num_classes: int) -> dict:
    """Sums of AVSBench's J and F over a clip's frames."""
    return {
        'j': sum(map(jaccard, frames)),
        'frames': len(frames),
        'f': video_f(frames) or 0.0,
        'clips': 1,
    }


def _sum_legacy(frames: list, num_classes: int) -> dict:
    """Sums of the scores of classes over a clip's frames."""
    iou, f_beta, seen, labeled = np.zeros((4, num_classes))
    for _, _, classes, counts in frames:
        scores = frame_scores(*counts)
        iou[classes] += scores[0]
        f_beta[classes] += scores[1]
        seen[classes] += 1
        labeled[classes] += counts[2]
    for total in (iou, f_beta, seen):
        total[0] += frames[0][1]  # Padded frames.
    return {'iou': iou, 'f_beta': f_beta, 'seen': seen, 'labeled': labeled}


def _sum_dataset(frames: list, num_classes: int) -> dict:
    """Sums of pixels over a clip's frames."""
    confusion = sum_confusions(frames, num_classes)
    shares = [_predicted_share(frame, num_classes) for frame in frames]
    return {
        'hits': confusion.diagonal(),
        'predicted': confusion.sum(0),
        'labeled': confusion.sum(1),
        'shares': sum(shares),
        'frames': len(frames),
    }


def _predicted_share(frame: tuple, num_classes: int) -> float:
    """Share of a frame's pixels in which something is segmented."""
    _, _, entries, counts = frame
    foreground = counts[entries % num_classes > 0].sum()
    return float(foreground / max(counts.sum(), 1))


def draw_weights(num_clips: int, resamples: int, seed: int) -> np.ndarray:
    """Draw clips with replacement.

    Args:
        num_clips (int): Number of clips C.
        resamples (int): Number of draws B.
        seed (int): Seed of the draws.

    Returns:
        np.ndarray: How often each clip is drawn, float64, shape (B + 1, C);
        the first row are ones, the clips themselves.
    """
    draws = np.random.default_rng(seed).multinomial(
        num_clips, np.full(num_clips, 1 / num_clips), resamples
    )
    return np.vstack([np.ones(num_clips), draws])


def divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide; NaN where the denominator is 0."""
    undefined = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    return np.divide(
        numerator, denominator, out=undefined, where=denominator > 0
    )


def mean_of_numbers(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis without NaN; NaN where there is no number."""
    known = ~np.isnan(values)
    return divide(np.where(known, values, 0).sum(-1), known.sum(-1))


def class_scores(sums: ClipSums, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Score classes on draws of clips.

    Args:
        sums (ClipSums): Counts of a protocol that has classes.
        weights (np.ndarray): Draws, shape (B, C).

    Returns:
        dict[str, np.ndarray]: ``IoU`` and ``Fbeta``, in [0, 1] or NaN where
        nothing was counted, shape (B, K).
    """
    total = {key: weights @ value for key, value in sums.sums.items()}
    if sums.kind == 'avss_legacy':
        return {
            'IoU': divide(total['iou'], total['seen']),
            'Fbeta': divide(total['f_beta'], total['seen']),
        }
    hits, predicted, labeled = (
        total[key] for key in ('hits', 'predicted', 'labeled')
    )
    weighted = F_BETA_SQUARED * labeled + predicted
    return {
        'IoU': divide(hits, predicted + labeled - hits),
        'Fbeta': divide((1 + F_BETA_SQUARED) * hits, weighted),
    }


def score(sums: ClipSums, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Score draws of clips under the protocol that has counted them.

    Args:
        sums (ClipSums): Counts.
        weights (np.ndarray): Draws, shape (B, C).

    Returns:
        dict[str, np.ndarray]: ``J`` and ``F``, or ``mIoU`` and ``Fbeta``, as
        the metric gives them, shape (B,).
    """
    if sums.kind == 'avsbench':
        total = {key: weights @ value for key, value in sums.sums.items()}
        return {
            'J': divide(total['j'], total['frames']),
            'F': divide(total['f'], total['clips']),
        }
    classes = class_scores(sums, weights)
    everywhere = class_scores(sums, np.ones((1, len(sums.clips))))
    means = {
        # Classes of no clip count as 0, as the protocols have it. Those of
        # none of the clips that were drawn are left out: that is chance.
        key: mean_of_numbers(values) * (~np.isnan(everywhere[key])).mean()
        for key, values in classes.items()
    }
    if sums.kind == 'avss_legacy':
        return {'mIoU': means['IoU'], 'Fbeta': means['Fbeta']}
    return {
        'mIoU': means['IoU'],
        'Fbeta': mean_of_numbers(classes['Fbeta']),
    }


def foreground_scores(
    sums: ClipSums, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Score what sounds, without the background.

    The background is right in most pixels whatever is heard, and would hide
    what becomes of the others.

    Args:
        sums (ClipSums): Counts.
        weights (np.ndarray): Draws, shape (B, C).

    Returns:
        dict[str, np.ndarray]: ``mIoU`` and ``F`` in [0, 1], shape (B,). Of
        AVSBench's protocol J and F; of others the mean over the labeled
        classes but background.
    """
    if sums.kind == 'avsbench':
        scores = score(sums, weights)
        return {'mIoU': scores['J'], 'F': scores['F']}
    classes = class_scores(sums, weights)
    labeled = sums.sums['labeled'].sum(0) > 0
    labeled[0] = False
    return {
        'mIoU': mean_of_numbers(classes['IoU'][:, labeled]),
        'F': mean_of_numbers(classes['Fbeta'][:, labeled]),
    }


def false_positive_rate(sums: ClipSums, weights: np.ndarray) -> np.ndarray:
    """Share of a frame that is segmented, mean over frames.

    Under a sound of nothing in view, that is AVSBench-Robust's rate of false
    positives: every pixel that is segmented counts, those of objects that are
    labeled, but not heard then, included.

    Args:
        sums (ClipSums): Counts of the protocol 'dataset'.
        weights (np.ndarray): Draws, shape (B, C).

    Returns:
        np.ndarray: In [0, 1], shape (B,).
    """
    return divide(weights @ sums.sums['shares'], weights @ sums.sums['frames'])


def robustness(
    true: ClipSums, negatives: Sequence[ClipSums], weights: np.ndarray
) -> dict[str, np.ndarray]:
    """AVSBench-Robust's global scores.

    G is the harmonic mean of a score with the true sound and one minus the
    same score with sounds of nothing in view, where masks are compared with
    the labels of the true sound: who segments the same whatever is heard has
    a low G. The paper (Li et al., arXiv 2502.00358) has no code for it; this
    is how its tables can be followed, with the mean over silence, noise and
    off-screen sounds as the score of the negatives.

    Args:
        true (ClipSums): Counts with the true sound.
        negatives (Sequence[ClipSums]): Counts with each of the others.
        weights (np.ndarray): Draws, shape (B, C).

    Returns:
        dict[str, np.ndarray]: ``G-mIoU`` and ``G-F``, in [0, 1], shape (B,).
    """
    positive = foreground_scores(true, weights)
    others = [foreground_scores(sums, weights) for sums in negatives]
    found = {}
    for key, score_ in positive.items():
        rejected = 1 - np.mean([other[key] for other in others], axis=0)
        found[f'G-{key}'] = np.nan_to_num(
            divide(2 * score_ * rejected, score_ + rejected)
        )
    return found


def interval(values: np.ndarray) -> dict[str, float | None]:
    """Sum up draws.

    Args:
        values (np.ndarray): Value of the clips themselves, then of each
            draw, shape (B + 1,).

    Returns:
        dict[str, float | None]: ``value``, and ``low`` and ``high``, between
        which 95 % of the draws lie; None where not defined.
    """
    tail = 50 * (1 - CONFIDENCE)
    draws = values[1:][~np.isnan(values[1:])]
    low = high = np.nan
    if draws.size:
        low, high = np.percentile(draws, [tail, 100 - tail])
    numbers = {'value': values[0], 'low': low, 'high': high}
    return {k: None if np.isnan(v) else float(v) for k, v in numbers.items()}
