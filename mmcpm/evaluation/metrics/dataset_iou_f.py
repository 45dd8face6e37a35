"""Dataset-level mIoU and F-beta, the numbers of CPM's Tables 2 to 5.

Intersections, unions, hits and misses of every frame are summed over the
whole dataset before anything is divided. A frame's share is a confusion matrix
of integers, so the result does not depend on batch size, order or ranks.
"""

from collections.abc import Iterable

import numpy as np
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmseg.registry import METRICS

from ..functional import class_table, frame_confusion, group_table
from .frame_metric import FrameMetric

F_BETA_SQUARED = 0.3


def per_class_scores(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Score every class; a score nothing was counted for is NaN.

    IoU, F-beta and F1 are NaN for classes that were neither labeled nor
    predicted, FDR (false discovery rate) for those never predicted.

    Args:
        confusion (np.ndarray): Pixel counts, rows are labels, shape (K, K).

    Returns:
        dict[str, np.ndarray]: ``IoU``, ``Fbeta`` (beta squared 0.3), ``F1``
        and ``FDR``, each float64 in [0, 1] or NaN, shape (K,).
    """
    true_positive = np.diagonal(confusion).astype(np.float64)
    false_positive = confusion.sum(axis=0) - true_positive
    false_negative = confusion.sum(axis=1) - true_positive

    def f_score(beta_squared: float) -> np.ndarray:
        hits = (1 + beta_squared) * true_positive
        return _divide(
            hits, hits + beta_squared * false_negative + false_positive
        )

    union = true_positive + false_positive + false_negative
    predicted = true_positive + false_positive
    return {
        'IoU': _divide(true_positive, union),
        'Fbeta': f_score(F_BETA_SQUARED),
        'F1': f_score(1.0),
        'FDR': _divide(false_positive, predicted),
    }


def scores_from_confusion(confusion: np.ndarray) -> dict[str, float]:
    """Score a dataset from its summed confusion matrix.

    Classes that were neither labeled nor predicted count as 0 in ``mIoU``
    (the published protocol) but are left out of ``Fbeta``, ``F1`` and
    ``FDR``. The background is a class like the others.

    Args:
        confusion (np.ndarray): Pixel counts, rows are labels, shape (K, K).

    Returns:
        dict[str, float]: ``mIoU``, ``mIoU_present`` (absent classes left
        out), ``Fbeta``, ``F1``, ``FDR`` and ``aAcc`` (share of pixels that
        are right), in [0, 1] and not rounded; NaN where no pixel counts.
    """
    confusion = np.asarray(confusion)
    if confusion.shape != 2 * confusion.shape[:1]:
        raise ValueError(f'Expected shape (K, K), got {confusion.shape}.')
    pixels = confusion.sum()
    per_class = per_class_scores(confusion)
    with_absent = np.nan_to_num(per_class['IoU'], nan=0.0)
    return {
        'mIoU': float(with_absent.mean()) if pixels else np.nan,
        'mIoU_present': _mean_without_nan(per_class['IoU']),
        'Fbeta': _mean_without_nan(per_class['Fbeta']),
        'F1': _mean_without_nan(per_class['F1']),
        'FDR': _mean_without_nan(per_class['FDR']),
        'aAcc': float(np.trace(confusion) / pixels) if pixels else np.nan,
    }


def sum_confusions(frames: Iterable[tuple], num_classes: int) -> np.ndarray:
    """Add up the confusion matrices of frames.

    Args:
        frames (Iterable[tuple]): Frames, as
            :meth:`DatasetIoUFMetric.count_frame` gives them.
        num_classes (int): Number of classes K, background included.

    Returns:
        np.ndarray: Pixel counts, rows are labels, int64, shape (K, K).
    """
    confusion = np.zeros((num_classes, num_classes), dtype=np.int64)
    for _, _, entries, counts in frames:
        confusion.flat[entries] += counts
    return confusion


@METRICS.register_module()
class DatasetIoUFMetric(FrameMetric):
    """Dataset-level mIoU and F-beta of all frames and of groups of frames.

    Frames whose data sample states ``sources`` (``'ss'``: one sounding
    source, ``'ms'``: several) are scored once more within their group. The
    keys are ``dataset/mIoU``, ``dataset/mIoU_present``, ``dataset/Fbeta``,
    ``dataset/F1``, ``dataset/FDR``, ``dataset/aAcc`` and the same names after
    ``dataset/ss/`` and ``dataset/ms/``; values lie in [0, 1].

    Args:
        size (tuple[int, int], optional): Height and width at which frames
            are scored. None, as in the paper: at that of their label files.
            At (224, 224) the keys begin with ``dataset_224/``.
        **kwargs: Arguments of :class:`FrameMetric`.
    """

    default_prefix = 'dataset'
    scores = ('mIoU', 'mIoU_present', 'Fbeta', 'F1', 'FDR', 'aAcc')

    def __init__(
        self, *, size: tuple[int, int] | None = None, **kwargs
    ) -> None:
        super().__init__(size=size, **kwargs)

    def score_names(self, groups: Iterable[str] = ()) -> list[str]:
        """Name the scores, before anything is scored."""
        return [
            f'{self.prefix}/{group}{name}'
            for group in ('', *(f'{group}/' for group in groups))
            for name in self.scores
        ]

    def count_frame(self, sample: dict, sample_id: str) -> tuple:
        """Count the pixels of a frame by labeled and predicted class.

        Returns:
            tuple: ``(sample_id, sources or None, entries, counts)`` with the
            flat indices and the values of the non-zero confusion counts.
        """
        confusion = frame_confusion(
            sample['pred_sem_seg']['data'],
            sample['gt_sem_seg']['data'],
            len(self.classes),
            sample_id=sample_id,
        ).ravel()
        # A frame shows few classes: its non-zero entries are some tens of
        # numbers where the matrix of 71 classes has 5,041.
        entries = np.flatnonzero(confusion)
        return sample_id, sample.get('sources'), entries, confusion[entries]

    def label_pixels(self, frame: tuple) -> tuple[int, ...]:
        """How often each class is labeled in a counted frame."""
        num_classes = len(self.classes)
        _, _, entries, counts = frame
        pixels = np.bincount(entries // num_classes, counts, num_classes)
        return tuple(pixels.tolist())

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Sum the frames of each group and score the sums."""
        num_classes = len(self.classes)
        # Reverse order shows 'ss' before 'ms'.
        sources = {frame[1] for frame in results} - {None}
        groups = {'all': results} | {
            source: [frame for frame in results if frame[1] == source]
            for source in sorted(sources, reverse=True)
        }
        confusions = {
            group: sum_confusions(frames, num_classes)
            for group, frames in groups.items()
        }
        scores = {
            group: scores_from_confusion(confusion)
            for group, confusion in confusions.items()
        }
        if is_main_process():
            self._log(len(results), confusions, scores)
        return {
            key if group == 'all' else f'{group}/{key}': score
            for group in scores
            for key, score in scores[group].items()
        }

    def _log(self, num_frames: int, confusions: dict, scores: dict) -> None:
        """Print what was measured, how, and the scores."""
        columns = {
            f'{key} ({group})': per_class_scores(confusion)[key]
            for group, confusion in confusions.items()
            for key in ('IoU', 'Fbeta')
        }
        print_log(
            f'{self.title}: pixels counted over {num_frames} '
            'frames before dividing, background included, absent classes '
            f'count as 0 in mIoU, beta^2 = {F_BETA_SQUARED}. In per cent:\n'
            f'{class_table(self.classes, columns)}\n{group_table(scores)}',
            logger='current',
        )


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide; NaN where the denominator is 0."""
    undefined = np.full(len(numerator), np.nan)
    return np.divide(
        numerator, denominator, out=undefined, where=denominator > 0
    )


def _mean_without_nan(scores: np.ndarray) -> float:
    """Mean of the scores that are numbers; NaN if there is none."""
    scores = scores[~np.isnan(scores)]
    return float(scores.mean()) if scores.size else float('nan')
