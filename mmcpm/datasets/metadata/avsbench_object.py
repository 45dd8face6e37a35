"""The index files of AVSBench-Object: S4 and MS3.

Pure functions: file contents in, records or one clear error out.
"""

import logging
from collections import defaultdict
from typing import NamedTuple

from mmengine.logging import print_log

from mmcpm.utils.errors import shorten

from ..errors import DatasetIndexError
from .index_table import SPLITS, check_name, read_table

# Where a column stands if the first row does not name it. The published
# files differ in the names of the others.
POSITIONS = {
    's4': {'name': 0, 'category': 2, 'split': 3},
    'ms3': {'name': 0, 'split': 1},
}


class ObjectClip(NamedTuple):
    """One row of the metadata.

    Attributes:
        name (str): Name of the clip.
        category (str): Category and folder of an S4 clip; '' in MS3.
        split (str): 'train', 'val' or 'test'.
        line (int): Line in the file.
    """

    name: str
    category: str
    split: str
    line: int

    @property
    def uid(self) -> str:
        """str: Name that tells it from all other clips of its split."""
        return f'{self.category}/{self.name}' if self.category else self.name


def read_object_metadata(
    text: str, path: str, subset: str
) -> list[ObjectClip]:
    """Parse ``s4_meta_data.csv`` or ``ms3_meta_data.csv``.

    The name stands in the first column, whatever that is called; category
    and split in the column of this name, or else in the third and fourth
    (S4), the second (MS3). A file without a first row of names is read too.

    Args:
        text (str): Contents of the file.
        path (str): Path of the file, for messages.
        subset (str): 's4' or 'ms3'.

    Returns:
        list[ObjectClip]: One record per row, in the order of the file.

    Raises:
        DatasetIndexError: If a column is missing, a row holds an unknown
            value, or a clip stands twice in a split.
    """
    rows = read_table(text, path)
    header = rows[0].cells
    positions = dict(POSITIONS[subset])
    if not set(header) & set(SPLITS):
        rows = rows[1:]
        for column in ('category', 'split'):
            if column in positions and column in header:
                positions[column] = header.index(column)
    if max(positions.values()) >= len(header) or len(
        set(positions.values())
    ) < len(positions):
        raise DatasetIndexError(
            f'{path}: the first row has {len(header)} column(s), '
            f'{", ".join(header)}; expected the {len(positions)} columns '
            f'{", ".join(positions)}. Use the {subset}_meta_data.csv of the '
            "dataset's archive."
        )
    clips = []
    for row in rows:
        place = f'{path}, line {row.line}'
        name, split = row.cells[0], row.cells[positions['split']]
        category = row.cells[positions['category']] if subset == 's4' else ''
        if split not in SPLITS:
            raise DatasetIndexError(
                f'{place} ({name!r}): unknown split {split!r}; expected one '
                f'of {", ".join(SPLITS)}. Restore the file from the '
                "dataset's archive."
            )
        check_name(name, 'clip name', place)
        if subset == 's4':
            check_name(category, 'category', place)
        clips.append(ObjectClip(name, category, split, row.line))
    _check_repetitions(clips, path)
    return clips


def _check_repetitions(clips: list[ObjectClip], path: str) -> None:
    """Refuse a clip that stands twice; tell of one in several splits."""
    places = defaultdict(list)
    for clip in clips:
        places[clip.uid].append(clip)
    shared = []
    for uid, found in places.items():
        if len({clip.split for clip in found}) < len(found):
            lines = ', '.join(str(clip.line) for clip in found)
            raise DatasetIndexError(
                f'{path}: clip {uid!r} stands in the lines {lines}, twice in '
                'one split. Remove the repeated rows.'
            )
        if len(found) > 1:
            lines = ' and '.join(str(clip.line) for clip in found)
            shared.append(f'{uid} (lines {lines})')
    if shared:
        print_log(
            f'{path}: {len(shared)} clips stand in more than one split, so '
            'that what is tested has been trained on: '
            f'{shorten(shared)}. Remove one of the rows.',
            logger='current',
            level=logging.WARNING,
        )
