"""Checking a plain folder of frames, labels and sounds."""

import os
import os.path as osp
from collections import defaultdict

from mmcpm.datasets.errors import DatasetNotFoundError
from mmcpm.datasets.folder_dataset import AVSFolderDataset
from mmcpm.datasets.metadata.folder import (
    PARTS,
    FolderFrame,
    list_files,
    pair_files,
)
from mmcpm.datasets.metadata.index_table import check_root
from mmcpm.datasets.transforms import LoadAVSAnnotations

from .clip_files import ClipFiles
from .clips import check_clips
from .images import Header
from .labels import LabelChecker
from .report import Finding, Report


class FolderLabelChecker(LabelChecker):
    """Checks label maps that nobody has used before: always decoded.

    Args:
        num_classes (int): Class ids are below it.
    """

    always_deep = True
    # What can be done differs from that of published label maps.
    own_kinds = {'values': 'unlisted', 'color': 'colored'}

    def __init__(self, num_classes: int) -> None:
        self.transform = LoadAVSAnnotations().transform
        self.keys = {'num_label_values': num_classes, 'label_map': None}

    def check_content(
        self, path: str, header: Header, deep: bool
    ) -> list[tuple[str, str]]:
        """Check what a readable file holds."""
        found = super().check_content(path, header, deep)
        return [(self.own_kinds.get(kind, kind), text) for kind, text in found]


def check_folder(
    root: str,
    *,
    class_file: str | None = None,
    frames_per_second: float | None = None,
    deep: bool = False,
    workers: int | None = None,
) -> Report:
    """Check all splits of a folder without touching it.

    Args:
        root (str): The data root.
        class_file (str, optional): As of :class:`AVSFolderDataset`.
        frames_per_second (float, optional): Likewise.
        deep (bool): Whether to decode frames and sounds, too. Labels always
            are. Defaults to False.
        workers (int, optional): Processes; 0 works in this one. Defaults to
            the number of usable processors.

    Returns:
        Report: What was found.

    Raises:
        DatasetNotFoundError: If the folder, its class list or all splits are
            missing.
        DatasetIndexError: If the class list cannot be used.
    """
    check_root(root, [], f'classes.txt and <split>/ with {", ".join(PARTS)}')
    metainfo = AVSFolderDataset.read_metainfo(
        dict(data_root=root, class_file=class_file)
    )
    splits = [
        name
        for name in sorted(os.listdir(root))
        if any(osp.isdir(osp.join(root, name, part)) for part in PARTS)
    ]
    if not splits:
        raise DatasetNotFoundError(
            f'{root} has no split: no folder in it, such as train, has the '
            f'folders {", ".join(PARTS)}. Move them there.'
        )
    report, clips = Report(f'Folder {root}'), []
    for split in splits:
        files = {}
        for part in PARTS:
            folder = osp.join(split, part)
            if osp.isdir(osp.join(root, folder)):
                files[part] = list_files(osp.join(root, folder))
            else:
                finding = Finding('missing', folder, 'no such folder')
                report.add([finding])
        samples, faults = pair_files(
            {part: files.get(part, []) for part in PARTS}, frames_per_second
        )
        # What a missing folder lacks is told by its name.
        report.add(
            Finding(fault.kind, osp.join(split, fault.file), fault.what)
            for fault in faults
            if len(files) == len(PARTS)
        )
        clips += _clips(split, samples)
    labels = FolderLabelChecker(len(metainfo['classes']))
    check_clips(report, root, clips, labels, deep=deep, workers=workers)
    return report


def _clips(split: str, samples: list[FolderFrame]) -> list[ClipFiles]:
    """Group frames by their sound: it should last until the last one ends."""
    groups = defaultdict(list)
    for sample in samples:
        groups[sample.sound].append(sample)
    return [
        ClipFiles(
            group=split,
            row=None,
            frames=tuple(
                (osp.join(split, s.frame), osp.join(split, s.label))
                for s in group
            ),
            sounds=(osp.join(split, sound),),
            seconds=max(s.start for s in group) + 1,
            at_least=True,
        )
        for sound, group in groups.items()
    ]
