"""Scores of all frames of a dataset, and of groups of them."""

import contextlib
import logging
import multiprocessing
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmengine.logging import MMLogger
from mmseg.datasets import BaseSegDataset

from mmcpm.dataset_converters.common.parallel import map_clips
from mmcpm.evaluation import (
    AVSBenchJFMetric,
    DatasetIoUFMetric,
    per_class_scores,
)
from mmcpm.evaluation.metrics.avss_legacy import sum_frame_scores
from mmcpm.evaluation.metrics.dataset_iou_f import sum_confusions
from mmcpm.utils.errors import UsageError, shorten

from .protocols import PUBLISHED_SIZE, Sizes, Variant, sample_of
from .stored_masks import (
    StoredMask,
    decode,
    read_values,
    resize,
    resize_labels,
)

# What the dataset tells of a frame by which frames are grouped.
GROUPS = ('subset', 'sources', 'category')


class Faults:
    """Files that cannot be scored, by what is wrong with them."""

    def __init__(self) -> None:
        self.found: dict[str, list[str]] = defaultdict(list)

    def add(self, kind: str, what: str) -> None:
        """Note a fault.

        Args:
            kind (str): What is wrong, and the remedy.
            what (str): The file and what arrived.
        """
        self.found[kind].append(what)

    def check(self) -> None:
        """Raise one UsageError that counts and names what was noted."""
        if self.found:
            raise UsageError(
                'These masks cannot be scored as they are; nothing was '
                'written.\n'
                + '\n'.join(
                    f'{len(files)} x {kind}: {shorten(files)}'
                    for kind, files in self.found.items()
                )
            )


class Counted(NamedTuple):
    """What was scored.

    Attributes:
        info (dict[str, dict]): What the dataset tells of each frame, by
            ``sample_id``.
        resized (dict[str, int]): Predictions that were brought to another
            size, by protocol.
    """

    info: dict[str, dict]
    resized: dict[str, int]


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


class FrameTask(NamedTuple):
    """A frame to count.

    Attributes:
        info (dict): What the dataset tells of it.
        path (Path | None): Its prediction; None where nothing is segmented.
    """

    info: dict
    path: Path | None


class FrameResult(NamedTuple):
    """A counted frame.

    Attributes:
        info (dict): What tables need to know of it, see :func:`describe`.
        fault (str): Why its prediction cannot be used; '' if it can.
        counts (list[tuple]): What each protocol has counted.
        resized (list[bool]): Whether the prediction was resized for each.
    """

    info: dict
    fault: str
    counts: list[tuple]
    resized: list[bool]


class FrameCounter:
    """Counts the pixels of a frame under every protocol, in any process.

    Args:
        variants (Sequence[Variant]): Protocols; their metrics keep nothing.
        pipeline (Callable): Loading of a label, of a dataset.
        kind (str): Kind of the files, see :mod:`.stored_masks`.
        metainfo (Mapping): ``classes`` and ``palette`` of the dataset.
    """

    def __init__(
        self,
        variants: Sequence[Variant],
        pipeline: Callable[[dict], dict],
        kind: str,
        metainfo: Mapping,
    ) -> None:
        self.variants, self.pipeline, self.kind = variants, pipeline, kind
        self.num_classes = len(metainfo['classes'])
        self.palette = metainfo.get('palette')

    def __call__(self, task: FrameTask) -> FrameResult:
        """Count a frame.

        Args:
            task (FrameTask): The frame.

        Returns:
            FrameResult: Its counts, or the fault of its prediction.
        """
        if multiprocessing.parent_process() is not None:
            torch.set_num_threads(1)  # The others have processors to use.
        results = self.pipeline(dict(task.info))
        labels = results['gt_seg_map'].astype(np.int64)
        info = describe(results)
        try:
            mask = read_mask(
                task.path,
                self.kind,
                self.num_classes,
                self.palette,
                labels.shape,
            )
        except (OSError, ValueError, SyntaxError, EOFError) as error:
            return FrameResult(info, f'{task.path} ({error})', [], [])
        counts, resized = [], []
        for variant in self.variants:
            metric = variant.metric
            size = metric.size or labels.shape
            resized.append(
                task.path is not None and mask.labels.shape != tuple(size)
            )
            sized = resize(mask, size, self.num_classes)
            metric.process(
                {},
                [
                    sample_of(
                        variant, resize_labels(labels, size), *sized, info
                    )
                ],
            )
            counts.append(metric.results.pop())
        return FrameResult(info, '', counts, resized)


def count_frames(
    variants: Sequence[Variant],
    dataset: BaseSegDataset,
    tasks: Sequence[FrameTask],
    kind: str,
    workers: int | None = 0,
) -> Counted:
    """Count the pixels of every frame under every protocol.

    Args:
        variants (Sequence[Variant]): Protocols; their metrics keep the
            counts.
        dataset (BaseSegDataset): Dataset whose pipeline loads labels.
        tasks (Sequence[FrameTask]): The frames.
        kind (str): Kind of the files, see :mod:`.stored_masks`.
        workers (int, optional): Processes; None for as many as there are
            processors. Defaults to 0: this one.

    Returns:
        Counted: Information on the frames.

    Raises:
        UsageError: If predictions cannot be read, or are none.
    """
    counter = FrameCounter(variants, dataset.pipeline, kind, dataset.metainfo)
    faults = Faults()
    infos, counts, resized = {}, [], np.zeros(len(variants), int)
    for done in map_clips(counter, tasks, 'masks', workers, unit='frame'):
        infos[done.info['sample_id']] = done.info
        if done.fault:
            faults.add(
                f'no {kind} of {counter.num_classes} classes', done.fault
            )
        else:
            counts.append(done.counts)
            resized += done.resized
    faults.check()
    # Not before: processes get copies of the metrics while they begin.
    for variant, results in zip(
        variants, zip(*counts, strict=True), strict=True
    ):
        variant.metric.results = list(results)
    names = [variant.metric.prefix for variant in variants]
    return Counted(infos, dict(zip(names, resized.tolist(), strict=True)))


def describe(results: dict) -> dict:
    """Keep what metrics and tables need to know of a frame.

    Args:
        results (dict): Output of the loading of its label.

    Returns:
        dict: ``sample_id``, ``label_shape`` and, where known, ``subset``,
        ``sources`` and ``category``.
    """
    info = {
        key: results[key]
        for key in ('sample_id', 'label_shape', 'subset', 'sources')
        if results.get(key) is not None
    }
    if info.get('subset') == 's4':
        info['category'] = results['uid'].rpartition('/')[0]
    return info


def read_mask(
    path: Path | None,
    kind: str,
    num_classes: int,
    palette: Sequence | None,
    shape: tuple[int, int],
) -> StoredMask:
    """Read a prediction; one where nothing sounds if there is no file.

    Args:
        path (Path, optional): The file.
        kind (str): Its kind.
        num_classes (int): Number of classes.
        palette (Sequence, optional): RGB colors of the classes.
        shape (tuple[int, int]): Height and width where there is no file.

    Returns:
        StoredMask: The prediction.
    """
    if path is None:
        return StoredMask(
            np.zeros(shape, np.int64), np.zeros(shape, np.float32)
        )
    return decode(read_values(path), kind, num_classes, palette)


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
