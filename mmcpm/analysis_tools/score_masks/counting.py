"""Pixels of all frames, counted under every protocol at once."""

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmseg.datasets import BaseSegDataset

from mmcpm.dataset_converters.common.parallel import map_clips

from .faults import Faults
from .protocols import Variant, sample_of
from .stored_masks import (
    StoredMask,
    decode,
    read_values,
    resize,
    resize_labels,
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
