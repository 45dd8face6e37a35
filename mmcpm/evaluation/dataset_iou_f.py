"""Dataset-level mIoU and F-beta, the numbers of CPM's Tables 2 to 5.

Intersections, unions, hits and misses of every frame are summed over the
whole dataset before anything is divided. A frame's share is a confusion matrix
of integers, so the result does not depend on batch size, order or ranks.
"""

import logging
from collections.abc import Sequence

import numpy as np
import torch
from mmengine.dist import all_gather_object, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmseg.registry import METRICS

from .tables import class_table, group_table

F_BETA_SQUARED = 0.3


def frame_confusion(
    prediction: np.ndarray | torch.Tensor,
    label: np.ndarray | torch.Tensor,
    num_classes: int,
    ignore_index: int = 255,
    sample_id: str = 'this frame',
) -> np.ndarray:
    """Count the pixels of one frame by labelled and predicted class.

    Args:
        prediction (np.ndarray | torch.Tensor): Predicted class of each pixel,
            any integer dtype, shape (H, W) or (1, H, W).
        label (np.ndarray | torch.Tensor): Labelled class of each pixel, any
            integer dtype, shape (H, W) or (1, H, W).
        num_classes (int): Number of classes K, background included.
        ignore_index (int): Label of the pixels that are left out.
        sample_id (str): Name of the frame, for error messages.

    Returns:
        np.ndarray: Pixel counts, int64, shape (K, K); rows are labels,
        columns are predictions.

    Raises:
        TypeError: If a map does not hold integers.
        ValueError: If the shapes differ, or if a pixel that is not ignored
            is labelled or predicted outside ``[0, num_classes)``.
    """
    prediction = _integer_map(prediction, 'prediction', sample_id)
    label = _integer_map(label, 'label', sample_id)
    if prediction.shape != label.shape:
        raise ValueError(
            f'{sample_id}: the prediction has shape {prediction.shape}, its '
            f'label {label.shape} (height, width). Predictions must be '
            'resized to the size of the label before they are scored.'
        )
    kept = label != ignore_index
    prediction, label = prediction[kept], label[kept]
    for name, values in (('label', label), ('prediction', prediction)):
        wrong = values[(values < 0) | (values >= num_classes)]
        if wrong.size:
            raise ValueError(
                f'{sample_id}: the {name} holds the value {wrong[0]}, '
                f'expected 0 to {num_classes - 1} ({num_classes} classes; '
                f"label {ignore_index} is ignored). Check that the head's "
                'num_classes and the label files belong to this dataset.'
            )
    # int64 before multiplying: uint8 maps would overflow.
    pairs = label.astype(np.int64) * num_classes + prediction.astype(np.int64)
    counts = np.bincount(pairs, minlength=num_classes**2).astype(np.int64)
    return counts.reshape(num_classes, num_classes)


def per_class_scores(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Score every class; a score nothing was counted for is NaN.

    IoU, F-beta and F1 are NaN for classes that were neither labelled nor
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


def scores_from_confusion(
    confusion: np.ndarray, absent_as_zero: bool = True
) -> dict[str, float]:
    """Score a dataset from its summed confusion matrix.

    Classes that were neither labelled nor predicted count as 0 in ``mIoU``
    (the published protocol) but are left out of ``Fbeta``, ``F1`` and
    ``FDR``. The background is a class like the others.

    Args:
        confusion (np.ndarray): Pixel counts, rows are labels, shape (K, K).
        absent_as_zero (bool): Whether absent classes count as 0 in ``mIoU``;
            if not, ``mIoU`` equals ``mIoU_present``.

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
    present = _mean_without_nan(per_class['IoU'])
    if absent_as_zero and pixels:
        miou = float(np.nan_to_num(per_class['IoU'], nan=0.0).mean())
    else:
        miou = present
    return {
        'mIoU': miou,
        'mIoU_present': present,
        'Fbeta': _mean_without_nan(per_class['Fbeta']),
        'F1': _mean_without_nan(per_class['F1']),
        'FDR': _mean_without_nan(per_class['FDR']),
        'aAcc': float(np.trace(confusion) / pixels) if pixels else np.nan,
    }


@METRICS.register_module()
class DatasetIoUFMetric(BaseMetric):
    """Dataset-level mIoU and F-beta of all frames and of groups of frames.

    Frames whose data sample states ``sources`` (``'ss'``: one sounding
    source, ``'ms'``: several) are scored once more within their group. The
    keys are ``dataset/mIoU``, ``dataset/mIoU_present``, ``dataset/Fbeta``,
    ``dataset/F1``, ``dataset/FDR``, ``dataset/aAcc`` and the same names after
    ``dataset/ss/`` and ``dataset/ms/``; values lie in [0, 1].

    A frame that several ranks scored (samplers repeat frames to give every
    rank the same number) counts once, told by its ``sample_id``.

    Args:
        absent_as_zero (bool): Whether classes that were neither labelled nor
            predicted count as 0 in ``mIoU``, as in the published numbers.
        ignore_index (int): Label of the pixels that are left out.
        collect_device (str): Not used: results are gathered through the
            process group, without temporary files.
        prefix (str, optional): Replaces the prefix ``'dataset'``.
    """

    default_prefix = 'dataset'

    def __init__(
        self,
        *,
        absent_as_zero: bool = True,
        ignore_index: int = 255,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.absent_as_zero = absent_as_zero
        self.ignore_index = ignore_index

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count the pixels of a batch of frames.

        Args:
            data_batch (dict): Not used.
            data_samples (Sequence[dict]): Frames with ``sample_id``,
                ``pred_sem_seg`` and ``gt_sem_seg`` (their ``data`` has shape
                (1, H, W)) and, optionally, ``sources``.
        """
        num_classes = len(self.classes)
        for sample in data_samples:
            sample_id = sample.get('sample_id') or sample.get('img_path')
            for field in ('sample_id', 'gt_sem_seg', 'pred_sem_seg'):
                if field not in sample:
                    raise ValueError(
                        f'{sample_id}: the data sample has no {field!r}. '
                        'Scored frames need a sample_id, a label and a '
                        'prediction: check that the pipeline loads '
                        'annotations and ends with PackAVSInputs.'
                    )
            confusion = frame_confusion(
                sample['pred_sem_seg']['data'],
                sample['gt_sem_seg']['data'],
                num_classes,
                ignore_index=self.ignore_index,
                sample_id=sample_id,
            ).ravel()
            # A frame shows few classes: its non-zero entries are some tens
            # of numbers where the matrix of 71 classes has 5,041.
            entries = np.flatnonzero(confusion)
            self.results.append(
                (sample_id, sample.get('sources'), entries, confusion[entries])
            )

    def evaluate(self, size: int) -> dict[str, float]:
        """Score the frames of all ranks.

        mmengine's own collection interleaves the ranks and cuts the list to
        ``size``. That keeps a repeated frame and drops a real one wherever
        ranks hold unequal numbers of frames, so frames are gathered whole
        and repetitions are told by their name. All ranks compute the scores:
        an error is raised by each of them and none is left waiting.

        Args:
            size (int): Number of frames of the dataset.

        Returns:
            dict[str, float]: Scores, the same on all ranks.
        """
        parts = all_gather_object(self.results)
        self.results = []  # Alone, this rank's list is the one gathered.
        frames = drop_repeated_frames(
            [frame for part in parts for frame in part], len(self.classes)
        )
        if not frames:
            raise ValueError('No frame was scored: the dataset is empty.')
        if len(frames) != size and is_main_process():
            print_log(
                f'The dataset has {size} frames, but {len(frames)} different '
                'ones were scored. The scores describe only these.',
                logger='current',
                level=logging.WARNING,
            )
        metrics = self.compute_metrics(frames)
        return {f'{self.prefix}/{key}': metrics[key] for key in metrics}

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Sum the frames of each group and score the sums.

        Args:
            results (list): Different frames, each a tuple ``(sample_id,
                sources or None, entries, counts)`` with the flat indices and
                the values of its non-zero confusion counts.

        Returns:
            dict[str, float]: Scores of all frames (``mIoU``) and of the
            groups (``ss/mIoU``).
        """
        num_classes = len(self.classes)
        # Reverse order shows 'ss' before 'ms'.
        sources = {frame[1] for frame in results} - {None}
        confusions = {
            group: np.zeros((num_classes, num_classes), dtype=np.int64)
            for group in ('all', *sorted(sources, reverse=True))
        }
        for _, source, entries, counts in results:
            confusions['all'].flat[entries] += counts
            if source is not None:
                confusions[source].flat[entries] += counts
        scores = {
            group: scores_from_confusion(confusion, self.absent_as_zero)
            for group, confusion in confusions.items()
        }
        if is_main_process():
            self._log(len(results), confusions, scores)
        return {
            key if group == 'all' else f'{group}/{key}': score
            for group in scores
            for key, score in scores[group].items()
        }

    @property
    def classes(self) -> Sequence[str]:
        """Sequence[str]: Class names of the dataset, background first."""
        if not (self.dataset_meta or {}).get('classes'):
            raise ValueError(
                "DatasetIoUFMetric needs dataset_meta['classes']. The Runner "
                'sets it from the METAINFO of the dataset; elsewhere, assign '
                "metric.dataset_meta = dict(classes=('background', ...))."
            )
        return self.dataset_meta['classes']

    def _log(self, num_frames: int, confusions: dict, scores: dict) -> None:
        """Print what was measured, how, and the scores."""
        columns = {
            f'{key} ({group})': per_class_scores(confusion)[key]
            for group, confusion in confusions.items()
            for key in ('IoU', 'Fbeta')
        }
        absent = 'count as 0' if self.absent_as_zero else 'are left out'
        print_log(
            f'Protocol {self.prefix!r}: pixels counted over {num_frames} '
            'frames before dividing, background included, absent classes '
            f'{absent} in mIoU, beta^2 = {F_BETA_SQUARED}. In per cent:\n'
            f'{class_table(self.classes, columns)}\n{group_table(scores)}',
            logger='current',
        )


def drop_repeated_frames(frames: list, num_classes: int) -> list:
    """Keep the first entry of every ``sample_id``.

    Args:
        frames (list): Tuples as in :meth:`DatasetIoUFMetric.compute_metrics`.
        num_classes (int): Number of classes K.

    Returns:
        list: Different frames, in the order given.

    Raises:
        ValueError: If two entries of one name are labelled differently and
            so cannot be the same frame.
    """

    def label_counts(frame: tuple) -> np.ndarray:
        return np.bincount(frame[2] // num_classes, frame[3], num_classes)

    first = {}
    for frame in frames:
        known = first.setdefault(frame[0], frame)
        if known is not frame and not np.array_equal(
            label_counts(known), label_counts(frame)
        ):
            raise ValueError(
                f'Two different frames are called {frame[0]!r}: their labels '
                'differ. Give every frame of the dataset its own sample_id.'
            )
    return list(first.values())


def _integer_map(
    values: np.ndarray | torch.Tensor, name: str, sample_id: str
) -> np.ndarray:
    """Bring a map of shape (H, W) or (1, H, W) to numpy, shape (H, W)."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    if not np.issubdtype(values.dtype, np.integer):
        raise TypeError(
            f'{sample_id}: the {name} must hold class indices '
            f'(integers), but its dtype is {values.dtype}.'
        )
    if values.ndim not in (2, 3) or values.ndim == 3 and len(values) != 1:
        raise ValueError(
            f'{sample_id}: the {name} must have shape (H, W) or '
            f'(1, H, W), got {values.shape}.'
        )
    return values.reshape(values.shape[-2:])


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
