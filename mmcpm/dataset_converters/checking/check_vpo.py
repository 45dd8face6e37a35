"""Checking a copy of VPO: VPO-SS, VPO-MS or VPO-MSMI."""

import os.path as osp
from collections.abc import Sequence

from mmcpm.datasets.metadata.index_table import check_root
from mmcpm.datasets.vpo import CLASS_LIST

from ..common.destination import Options
from ..sounding_scenes.writer import MARKER
from .clip_files import ClipFiles
from .clips import check_clips
from .labels import TranslatedChecker
from .preparing import prepare
from .report import Report
from .vpo_rows import GROUPS, VPOCopy, names_of_refused_rows, read_vpo_clips


def check_vpo(
    copy: VPOCopy, *, deep: bool = False, workers: int | None = None
) -> Report:
    """Check a copy of VPO without touching it.

    No source tells how many samples were published, so that the counts stand
    alone.

    Args:
        copy (VPOCopy): Place and layout of the copy.
        deep (bool): Whether to decode images, masks and sounds; else their
            headers are read. Defaults to False.
        workers (int, optional): Processes; 0 works in this one. Defaults to
            the number of usable processors.

    Returns:
        Report: What was found.

    Raises:
        DatasetNotFoundError: If the folder or its index file is missing.
    """
    report = Report(f'VPO-{copy.subset.upper()} in {copy.root}')
    _require_index(copy)
    index, clips = read_vpo_clips(copy)
    report.add(index.findings)
    check_clips(
        report,
        copy.root,
        _without_shared_sounds(clips),
        _labels(copy),
        deep=deep,
        workers=workers,
        published=dict.fromkeys(GROUPS.values(), (None, None)),
        folders=_folders(copy),
        is_known=names_of_refused_rows(index),
    )
    return report


def prepare_vpo(
    copy: VPOCopy, folder: str, options: Options, **kwargs
) -> Report:
    """Write a prepared copy of VPO.

    Args:
        copy (VPOCopy): Place and layout of the copy.
        folder (str): The folder to write.
        options (Options): Options of the prepared copy.
        kwargs: ``leave_out`` and ``workers`` of :func:`prepare`.

    Returns:
        Report: The samples that could not be prepared.
    """
    _require_index(copy)
    copy.require_inside()
    index, clips = read_vpo_clips(copy)
    dataset = f'vpo_{copy.subset}'
    return prepare(
        *(copy.root, folder, dataset, [index], clips, _labels(copy), options),
        others=[MARKER, CLASS_LIST],
        **kwargs,
    )


def _require_index(copy: VPOCopy) -> None:
    """Look for the data root and its index file."""
    check_root(
        copy.root,
        [copy.index_name],
        f'{copy.index_name} and VPO-{copy.subset.upper()}/',
    )


def _labels(copy: VPOCopy) -> TranslatedChecker:
    """Make what checks the masks."""
    return TranslatedChecker(copy.paths.label_values)


def _folders(copy: VPOCopy) -> list[str]:
    """List the folders that only hold what the index file names."""
    folder = f'VPO-{copy.subset.upper()}'
    if copy.layout == 'reorganised':
        return [folder]
    # VPO-MSMI takes images from VPO-MS, which may have more.
    return [osp.join(folder, part) for part in ('data', 'mask')]


def _without_shared_sounds(clips: Sequence[ClipFiles]) -> list[ClipFiles]:
    """Let every recording be checked once: many are heard in many images."""
    seen, lean = set(), []
    for clip in clips:
        sounds = tuple(s for s in clip.sounds if s not in seen)
        seen.update(sounds)
        lean.append(clip._replace(sounds=sounds))
    return lean
