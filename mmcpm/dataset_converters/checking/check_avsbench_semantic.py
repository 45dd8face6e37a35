"""Checking a copy of AVSBench-Semantic."""

import functools
import os.path as osp
from collections import Counter, defaultdict
from collections.abc import Sequence

from mmcpm.datasets.avsbench_semantic import AVSBenchSemanticDataset
from mmcpm.datasets.errors import DatasetIndexError
from mmcpm.datasets.metadata.avsbench_semantic import (
    LAYOUT,
    Clip,
    check_label_index,
    read_metadata,
)
from mmcpm.datasets.metadata.index_table import check_root, read_text

from ..common.destination import Options
from ..sounding_scenes.writer import MARKER
from .clip_files import list_clips
from .clips import check_clips
from .index_file import (
    IndexFile,
    find_repetitions,
    parse_rows,
    read_index_file,
)
from .labels import ClassIdChecker
from .preparing import prepare
from .report import Finding, Report

METADATA, LABEL_INDEX = 'metadata.csv', 'label2idx.json'
FRAMES_PER_CLIP = AVSBenchSemanticDataset.FRAMES_PER_CLIP
# Clips and label maps by subset and split, from the published metadata.
PUBLISHED = {
    'v1s/train': (3452, 3452),
    'v1s/val': (740, 3700),
    'v1s/test': (740, 3700),
    'v1m/train': (296, 1480),
    'v1m/val': (64, 320),
    'v1m/test': (64, 320),
    'v2/train': (4750, 47500),
    'v2/val': (500, 5000),
    'v2/test': (750, 7500),
}
# The labels as colors; what others make of the clips (COMBO: processed_*,
# audio.pkl); the truth of sounding scenes.
KNOWN = (
    'labels_rgb',
    'processed_frames',
    'processed_labels_semantic',
    'audio.pkl',
    'visible',
    'scene.json',
)


def _read_semantic_clips(
    root: str,
) -> tuple[IndexFile, list[tuple[int, Clip]]]:
    """Read ``metadata.csv`` to its end."""
    index = read_index_file(root, METADATA)
    return index, parse_rows(
        index,
        lambda text, path: read_metadata(text, path, tuple(FRAMES_PER_CLIP)),
    )


@functools.cache
def _paths_without_root() -> AVSBenchSemanticDataset:
    """Make the dataset class that knows where files lie, without a root."""
    return AVSBenchSemanticDataset(data_root='', lazy_init=True)


def _describe(clip: Clip) -> tuple[AVSBenchSemanticDataset, str, int]:
    """Tell how the files of a clip are listed."""
    group = f'{clip.subset}/{clip.split}'
    return _paths_without_root(), group, FRAMES_PER_CLIP[clip.subset]


def check_avsbench_semantic(
    root: str,
    *,
    classes: Sequence[str] | None = None,
    palette: Sequence[Sequence[int]] | None = None,
    deep: bool = False,
    workers: int | None = None,
) -> Report:
    """Check a copy of AVSBench-Semantic without touching it.

    Args:
        root (str): The data root.
        classes (Sequence[str], optional): Names of the classes. Defaults to
            None: those of AVSBench-Semantic.
        palette (Sequence[Sequence[int]], optional): RGB colors of the classes.
            Defaults to None: those of AVSBench-Semantic.
        deep (bool): Whether to decode frames, label maps and sounds; else
            their headers are read. Defaults to False.
        workers (int, optional): Processes; 0 works in this one. Defaults to
            the number of usable processors.

    Returns:
        Report: What was found.

    Raises:
        DatasetNotFoundError: If the folder or its metadata is missing.
    """
    metainfo = AVSBenchSemanticDataset.METAINFO
    is_published = classes is None
    classes, palette = (
        classes or metainfo['classes'],
        palette or metainfo['palette'],
    )
    report = Report(f'AVSBench-Semantic in {root}')
    check_root(root, [METADATA], LAYOUT)
    report.add(_check_label_index(root, classes))
    index, rows = _read_semantic_clips(root)
    report.add(index.findings)
    report.add(
        find_repetitions(
            METADATA, [(line, clip.uid, clip.split) for line, clip in rows]
        )
    )
    report.add(_check_videos(index))
    report.add(_check_names(index, classes))
    check_clips(
        report,
        root,
        list_clips(rows, _describe),
        ClassIdChecker(len(classes), palette, classes),
        deep=deep,
        workers=workers,
        published=PUBLISHED if is_published else {},
        folders=FRAMES_PER_CLIP,
        is_known={*KNOWN, *index.bad_cells}.__contains__,
    )
    return report


def prepare_avsbench_semantic(
    root: str,
    folder: str,
    options: Options,
    *,
    num_classes: int = 71,
    **kwargs,
) -> Report:
    """Write a prepared copy of AVSBench-Semantic.

    Args:
        root (str): The data root.
        folder (str): The folder to write.
        options (Options): Options of the copy.
        num_classes (int): Class ids are below it. Defaults to 71.
        kwargs: ``leave_out`` and ``workers`` of :func:`prepare`.

    Returns:
        Report: The clips that could not be prepared.
    """
    check_root(root, [METADATA], LAYOUT)
    index, rows = _read_semantic_clips(root)
    labels = ClassIdChecker(num_classes, options.palette or ())
    clips = list_clips(rows, _describe)
    return prepare(
        *(root, folder, 'avss', [index], clips, labels, options),
        others=[LABEL_INDEX, MARKER],
        **kwargs,
    )


def _check_label_index(root: str, classes: Sequence[str]) -> list[Finding]:
    """Check ``label2idx.json``."""
    path = osp.join(root, LABEL_INDEX)
    try:
        check_label_index(
            read_text(path, None), LABEL_INDEX, classes, 'the dataset class'
        )
    except FileNotFoundError:
        return [Finding('missing', LABEL_INDEX, 'no such file')]
    except DatasetIndexError as error:
        return [Finding('index', LABEL_INDEX, str(error))]
    return []


def _column(index: IndexFile, name: str) -> list[str]:
    """Take a column of the metadata; empty if it has no such column."""
    if name not in index.header:
        return []
    place = index.header.index(name)
    return [row.cells[place] for row in index.rows]


def _check_videos(index: IndexFile) -> list[Finding]:
    """Look for videos that lend different clips to several splits."""
    uids = defaultdict(set)
    splits = defaultdict(set)
    for vid, uid, split in zip(
        _column(index, 'vid'),
        _column(index, 'uid'),
        _column(index, 'split'),
        strict=False,
    ):
        uids[vid].add(uid)
        splits[vid].add(split)
    return [
        Finding('videos', METADATA, f'{vid} in {", ".join(sorted(found))}')
        for vid, found in splits.items()
        if len(found) > 1 and len(uids[vid]) > 1
    ]


def _check_names(index: IndexFile, classes: Sequence[str]) -> list[Finding]:
    """Look for names of sounding objects that are no classes."""
    numbers = Counter(
        name
        for sources in _column(index, 'a_obj')
        for name in sources.split('_')
        if name not in classes[1:]
    )
    return [
        Finding('names', METADATA, f'{name!r} in {number} row(s)')
        for name, number in numbers.items()
    ]
