"""The rows of VPO's index files and the files that they ask for."""

import dataclasses
import functools
import os.path as osp
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from mmcpm.datasets.metadata.vpo import read_reorganised_index, read_vpo_index
from mmcpm.datasets.vpo import REORGANISED_INDEX, VPODataset
from mmcpm.utils.errors import UsageError

from .clip_files import ClipFiles
from .index_file import (
    IndexFile,
    as_text,
    find_repetitions,
    parse_rows,
    read_index_file,
)
from .report import Finding

# What is heard of a recording is its center; see LoadSoundSources.
SECONDS = 3.0
GROUPS = {'train': 'train', 'val': 'val (tested on)'}


@dataclasses.dataclass(frozen=True)
class VPOCopy:
    """Where a copy of VPO lies.

    Attributes:
        root (str): The data root.
        subset (str): 'ss', 'ms' or 'msmi'.
        layout (str): 'original' or 'reorganised'; see :class:`VPODataset`.
        audio_root (str): Folder of the recordings, absolute or under the
            data root.
    """

    root: str
    subset: str
    layout: str = 'original'
    audio_root: str = 'vggsound_bench/VGGSound/audios'

    @property
    def index_name(self) -> str:
        """str: Path of the index file in the data root."""
        if self.layout == 'reorganised':
            return REORGANISED_INDEX
        folder = f'VPO-{self.subset.upper()}'
        return f'{folder}/vpo_{self.subset}_data_stereo.csv'

    @functools.cached_property
    def paths(self) -> VPODataset:
        """VPODataset: Knows where files lie; has no root."""
        audio = osp.join(osp.abspath(self.root), self.audio_root)
        listed = VPODataset.class_path({'data_root': osp.abspath(self.root)})
        return VPODataset(
            data_root='',
            class_file=listed,
            subset=self.subset,
            layout=self.layout,
            audio_root=osp.relpath(audio, osp.abspath(self.root)),
            lazy_init=True,
        )

    def require_inside(self) -> None:
        """Refuse recordings that lie elsewhere.

        Raises:
            UsageError: If they do: where they go in a copy is not known.
        """
        if self.paths.audio_root.startswith('..'):
            raise UsageError(
                f'The recordings in {self.audio_root} are not in the data '
                f'root {self.root}. Link them there, for example with ln -s, '
                'and prepare the copy again.'
            )


def read_vpo_clips(copy: VPOCopy) -> tuple[IndexFile, list[ClipFiles]]:
    """Read an index file to its end.

    Args:
        copy (VPOCopy): Place and layout of the copy.

    Returns:
        tuple[IndexFile, list[ClipFiles]]: The file with what is wrong with
        it, and the files of every usable sample.
    """
    index = read_index_file(copy.root, copy.index_name)
    if copy.layout == 'reorganised':
        rows = [
            (line, clip)
            for line, clip in parse_rows(index, read_reorganised_index)
            if clip.folder == f'VPO-{copy.subset.upper()}'
        ]
        names = [f'{c.uid}/{c.frame}' for _, c in rows]
        groups = _group(index, rows, names)
        _note_shared_images(index, rows)
        return index, [
            _files(copy, VPODataset._clip_item(group[0][1]), group)
            for group in groups
        ]
    rows = parse_rows(
        index, lambda text, path: read_vpo_index(text, path, copy.subset)
    )
    if index.header and 'audio_pos' not in index.header:
        index.findings.append(
            Finding('position', index.name, 'no column audio_pos')
        )
    if copy.subset == 'ss':
        groups = _group(index, rows, [image.name for _, image in rows])
        _note_shared_images(index, rows)
    else:
        groups = _group_images(index, rows)
    cells = {row.line: row.cells for row in index.rows}
    clips = []
    for group in groups:
        lines = [cells[line] for line, _ in group]
        # The reader joins the rows of an image.
        (image,) = read_vpo_index(
            as_text([index.header, *lines]), index.name, copy.subset
        )
        clips.append(_files(copy, VPODataset._image_item(image), group))
    return index, clips


def _group(
    index: IndexFile, rows: Sequence[tuple[int, Any]], names: Sequence[str]
) -> list[list[tuple[int, Any]]]:
    """Take every row as a sample, but the first where one is repeated."""
    first = {}
    for row, name in zip(rows, names, strict=True):
        first.setdefault(name, [row])
    index.findings.extend(
        find_repetitions(
            index.name,
            [
                (line, name, record.split)
                for (line, record), name in zip(rows, names, strict=True)
            ],
        )
    )
    return list(first.values())


def _group_images(
    index: IndexFile, rows: Sequence[tuple[int, Any]]
) -> list[list[tuple[int, Any]]]:
    """Group the rows of an image; repeated ones and second splits apart."""
    cells = {row.line: row.cells for row in index.rows}
    groups = defaultdict(list)
    for row in rows:
        groups[row[1].image].append(row)
    kept = []
    for image, group in groups.items():
        seen, splits = {}, {record.split for _, record in group}
        for line, record in group:
            seen.setdefault(tuple(cells[line]), (line, record))
        if len(seen) < len(group):
            index.findings.extend(
                find_repetitions(
                    index.name,
                    [(line, ' '.join(cells[line]), '') for line, _ in group],
                )
            )
        if len(splits) > 1:
            listed = ', '.join(f'{line} ({r.split})' for line, r in group)
            index.findings.append(
                Finding(
                    'splits',
                    index.name,
                    f'{image} stands in the lines {listed}',
                    next(n for n, r in group if r.split != group[0][1].split),
                )
            )
        rows_kept = seen.values()
        kept.append([r for r in rows_kept if r[1].split == group[0][1].split])
    return kept


def _note_shared_images(
    index: IndexFile, rows: Sequence[tuple[int, Any]]
) -> None:
    """Note the images of which different samples are in both splits."""
    names, splits = defaultdict(set), defaultdict(set)
    for _, record in rows:
        names[record.image].add(getattr(record, 'name', None) or record.frame)
        splits[record.image].add(record.split)
    index.findings.extend(
        Finding('videos', index.name, f'{image} in {", ".join(sorted(found))}')
        for image, found in splits.items()
        if len(found) > 1 and len(names[image]) > 1
    )


def _files(
    copy: VPOCopy, item: dict, group: Sequence[tuple[int, Any]]
) -> ClipFiles:
    """List the files of a sample."""
    info = copy.paths.frame_info(item, 0)
    if 'audio_sources' in info:
        sounds = [path for path, _ in info['audio_sources']]
    else:
        sounds = [info['audio_path'], info['mono_audio_path']]
    line, record = group[0]
    return ClipFiles(
        group=GROUPS[record.split],
        row=line,
        frames=((info['img_path'], info['seg_map_path']),),
        sounds=tuple(dict.fromkeys(sounds)),
        seconds=SECONDS,
        at_least=True,
        more_rows=tuple(line for line, _ in group[1:]),
    )


def names_of_refused_rows(index: IndexFile) -> Callable[[str], bool]:
    """Give a function that knows the names of files of refused rows.

    Ids in the index file lack the zeros that files have.
    """
    ids = {cell.removesuffix('.0').zfill(12) for cell in index.bad_cells}

    def is_known(name: str) -> bool:
        """Tell whether all ids in the name are of refused rows."""
        numbers = re.findall(r'\d+', osp.splitext(name)[0])
        return name in index.bad_cells or (
            bool(numbers) and ids.issuperset(numbers)
        )

    return is_known
