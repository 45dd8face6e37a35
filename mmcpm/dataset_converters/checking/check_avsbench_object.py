"""Checking a copy of AVSBench-Object: S4 or MS3."""

import functools
import os.path as osp
from collections.abc import Sequence

from mmcpm.datasets.avsbench_object import (
    FRAMES_PER_CLIP,
    AVSBenchObjectDataset,
)
from mmcpm.datasets.metadata.avsbench_object import (
    ObjectClip,
    read_object_metadata,
)
from mmcpm.datasets.metadata.index_table import SPLITS, check_root

from ..common.destination import Options
from ..sounding_scenes.writer import MARKER
from .clip_files import ClipFiles, list_clips
from .clips import check_clips
from .index_file import (
    IndexFile,
    find_repetitions,
    parse_rows,
    read_index_file,
)
from .labels import BinaryChecker
from .preparing import prepare
from .report import Finding, Report

# Clips and label maps by split, from the counts of the dataset's authors.
PUBLISHED = {
    's4': {'train': (3452, 3452), 'val': (740, 3700), 'test': (740, 3700)},
    'ms3': {'train': (296, 1480), 'val': (64, 320), 'test': (64, 320)},
}
COLUMNS = {'s4': ('category', 'split'), 'ms3': ('split',)}
PARTS = ('visual_frames', 'gt_masks', 'audio_wav')


def _read_object_clips(
    root: str, subset: str
) -> tuple[IndexFile, list[tuple[int, ObjectClip]]]:
    """Read the index file to its end."""
    index = read_index_file(
        root,
        f'{subset}_meta_data.csv',
        is_header=lambda cells: not set(cells) & set(SPLITS),
    )
    columns = COLUMNS[subset]
    lacking = [name for name in columns if name not in index.header]
    # The published files are read by position where names differ; with too
    # few columns there is none to read.
    if index.header and lacking and len(index.header) < 2 * len(columns):
        what = (
            f'column {", ".join(lacking)} is missing; the first row names '
            f'{", ".join(index.header)}'
        )
        index.findings.append(Finding('index', index.name, what))
        return index, []
    return index, parse_rows(
        index, lambda text, path: read_object_metadata(text, path, subset)
    )


@functools.cache
def _paths_of(subset: str, split: str) -> AVSBenchObjectDataset:
    """Make the dataset class that knows where files lie, without a root."""
    return AVSBenchObjectDataset(
        data_root='', subset=subset, split=split, lazy_init=True
    )


def _list_clips(
    subset: str, rows: Sequence[tuple[int, ObjectClip]]
) -> list[ClipFiles]:
    """List the files of every clip, once for each split it is in."""
    return list_clips(
        rows,
        lambda clip: (
            _paths_of(subset, clip.split),
            clip.split,
            FRAMES_PER_CLIP,
        ),
    )


def check_avsbench_object(
    root: str,
    subset: str,
    *,
    deep: bool = False,
    workers: int | None = None,
) -> Report:
    """Check a copy of S4 or MS3 without touching it.

    Args:
        root (str): The data root.
        subset (str): 's4' or 'ms3'.
        deep (bool): Whether to decode frames and sounds, too. Masks always
            are. Defaults to False.
        workers (int, optional): Processes; 0 works in this one. Defaults to
            the number of usable processors.

    Returns:
        Report: What was found.

    Raises:
        DatasetNotFoundError: If the folder or its index file is missing.
    """
    report = Report(f'AVSBench-Object {subset.upper()} in {root}')
    data = f'{subset}_data'
    check_root(
        root,
        [f'{subset}_meta_data.csv'],
        f'{subset}_meta_data.csv and {data}/ with {", ".join(PARTS)}',
    )
    index, rows = _read_object_clips(root, subset)
    report.add(index.findings)
    report.add(
        find_repetitions(
            index.name, [(line, clip.uid, clip.split) for line, clip in rows]
        )
    )
    names = {*index.bad_cells, *(f'{cell}.wav' for cell in index.bad_cells)}
    check_clips(
        report,
        root,
        _list_clips(subset, rows),
        BinaryChecker(),
        deep=deep,
        workers=workers,
        published=PUBLISHED[subset],
        folders=[osp.join(data, part) for part in PARTS],
        is_known=names.__contains__,
    )
    return report


def prepare_avsbench_object(
    root: str, folder: str, subset: str, options: Options, **kwargs
) -> Report:
    """Write a prepared copy of S4 or MS3.

    Args:
        root (str): The data root.
        folder (str): The folder to write.
        subset (str): 's4' or 'ms3'.
        options (Options): Options of the copy.
        kwargs: ``leave_out`` and ``workers`` of :func:`prepare`.

    Returns:
        Report: The clips that could not be prepared.
    """
    check_root(root, [f'{subset}_meta_data.csv'], f'{subset}_data/')
    index, rows = _read_object_clips(root, subset)
    clips = _list_clips(subset, rows)
    return prepare(
        *(root, folder, subset, [index], clips, BinaryChecker(), options),
        others=[MARKER],
        **kwargs,
    )
