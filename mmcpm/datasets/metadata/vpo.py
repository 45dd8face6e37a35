"""The index files of VPO: which objects of which images sound, and where.

Pure functions: file contents in, records or one clear error out.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from ..errors import DatasetIndexError
from .index_table import Row, check_name, find_columns, read_table

COLUMNS = ('img_Id', 'vgg_file', 'split')
# What each form of the index file holds beside.
MORE_COLUMNS = {
    'ss': ('ann_Ids', 'cateName'),
    'ms': (),
    'msmi': ('multi_instance',),
}
REORGANISED_COLUMNS = ('uid', 'frame', 'mask', 'split', 'type')
# What the index files call the two splits that VPO has.
TRAIN, TEST = 'train', 'val'
INSTANCE_FLAGS = {
    '0': False,
    '1': True,
    '0.0': False,
    '1.0': True,
    'False': False,
    'True': True,
}
ID_DIGITS = 12
RESTORE = "Restore the file from the dataset's archive."


class Source(NamedTuple):
    """A sounding object.

    Attributes:
        recording (str): Name of its recording.
        position (float | None): Horizontal center of the object, 0 (left) to
            1; None if the index file does not tell.
    """

    recording: str
    position: float | None


class VPOImage(NamedTuple):
    """An image with its sounding objects.

    Attributes:
        image (str): Name of the image, 12 digits.
        name (str): Path of the mask without suffix, which also tells the
            sample from all others: ``<category>/<image>_<object>`` (VPO-SS)
            or ``<image>``.
        category (str): Folder of a VPO-SS image; '' otherwise.
        folder (str): 'VPO-SS', 'VPO-MS' or 'VPO-MSMI'.
        split (str): 'train' or 'val', as the index file calls it.
        sources (tuple[Source, ...]): Sources, in the order of the file.
    """

    image: str
    name: str
    category: str
    folder: str
    split: str
    sources: tuple[Source, ...]


class VPOClip(NamedTuple):
    """A sample of the re-organized form.

    Attributes:
        uid (str): Name and folder of the sample.
        frame (str): File in the folder ``frames``.
        mask (str): File in the folder ``labels_semantic``.
        folder (str): 'VPO-SS', 'VPO-MS' or 'VPO-MSMI'.
        split (str): 'train' or 'val'; a 'test' of the file counts as 'val'.
    """

    uid: str
    frame: str
    mask: str
    folder: str
    split: str

    @property
    def image(self) -> str:
        """str: Name of the image."""
        return self.uid


def read_vpo_index(text: str, path: str, subset: str) -> list[VPOImage]:
    """Parse ``vpo_<subset>_data_stereo.csv``.

    Every row is a sounding object. In VPO-SS every row is a sample; in the
    others the rows of an image are one. Images of ``vpo_msmi`` whose rows all
    have ``multi_instance`` 0 lie in the folder VPO-MS, which holds no image
    with several instances.

    Args:
        text (str): Contents of the file.
        path (str): Path of the file, for messages.
        subset (str): 'ss', 'ms' or 'msmi'.

    Returns:
        list[VPOImage]: In the order of the file.

    Raises:
        DatasetIndexError: If a column is missing, a row holds a value that
            cannot be, or rows contradict each other.
    """
    header, *rows = read_table(text, path)
    wanted = COLUMNS + MORE_COLUMNS[subset]
    columns = find_columns(
        header.cells,
        wanted,
        path,
        f'Expected a comma-separated file with the columns '
        f'{", ".join(wanted)} and audio_pos, as VPO ships it.',
    )
    where = dict(zip(wanted, columns, strict=True))
    if 'audio_pos' in header.cells:
        where['audio_pos'] = header.cells.index('audio_pos')
    groups = defaultdict(list)
    for row in rows:
        place = f'{path}, line {row.line}'
        image, source = _parse_row(row, where, place, subset)
        groups[image.name].append((row.line, image, source))
    return [_join(group, path, subset) for group in groups.values()]


def _parse_row(
    row: Row, where: dict[str, int], place: str, subset: str
) -> tuple[VPOImage, Source]:
    """Read one row: the image, still without sources, and its source."""
    cell = {name: row.cells[column] for name, column in where.items()}
    split, flag = cell['split'], cell.get('multi_instance', '0')
    for column, value, accepted in (
        ('split', split, (TRAIN, TEST)),
        ('multi_instance', flag, INSTANCE_FLAGS),
    ):
        if value not in accepted:
            raise DatasetIndexError(
                f'{place}: unknown {column} {value!r}; expected one of '
                f'{", ".join(accepted)}. {RESTORE}'
            )
    check_name(cell['vgg_file'], 'vgg_file', place)
    image = _padded(cell['img_Id'], 'img_Id', place)
    name, category = image, ''
    folder = 'VPO-MSMI' if INSTANCE_FLAGS[flag] else 'VPO-MS'
    if subset == 'ss':
        category, folder = cell['cateName'], 'VPO-SS'
        check_name(category, 'cateName', place)
        name = _padded(cell['ann_Ids'], 'ann_Ids', place)
        name = f'{category}/{image}_{name}'
    position = None
    if 'audio_pos' in cell:
        position = _position(cell['audio_pos'], place)
    return (
        VPOImage(image, name, category, folder, split, ()),
        Source(cell['vgg_file'], position),
    )


def _join(group: list[tuple], path: str, subset: str) -> VPOImage:
    """Make one image of the rows that speak of it."""
    line, first, _ = group[0]
    for other, image, _ in group[1:]:
        if subset == 'ss':
            raise DatasetIndexError(
                f'{path}: object {first.name!r} stands in the lines {line} '
                f'and {other}. Remove the repeated row.'
            )
        if image.split != first.split:
            raise DatasetIndexError(
                f'{path}: image {first.image!r} is of split {first.split!r} '
                f'in line {line} and of {image.split!r} in line {other}. An '
                'image is one sample; remove the rows of one split.'
            )
    # With several instances in any of its rows, it cannot lie in VPO-MS.
    folder = max((image.folder for _, image, _ in group), key=len)
    sources = tuple(source for _, _, source in group)
    return first._replace(folder=folder, sources=sources)


def _padded(value: str, column: str, place: str) -> str:
    """Write an id of COCO with twelve digits, as files are named."""
    # A spreadsheet program or a data frame with gaps makes 42 a 42.0.
    number = value.removesuffix('.0')
    if not number.isdecimal() or not number.isascii():
        raise DatasetIndexError(
            f'{place}: {column} {value!r} is no whole number. {RESTORE}'
        )
    return number.zfill(ID_DIGITS)


def _position(value: str, place: str) -> float:
    """Read where an object is."""
    try:
        position = float(value)
    except ValueError:
        position = math.nan
    if not 0 <= position <= 1:
        raise DatasetIndexError(
            f'{place}: audio_pos {value!r}; expected a number from 0 (left '
            f'border of the image) to 1 (right border). {RESTORE}'
        )
    return position


def read_reorganised_index(text: str, path: str) -> list[VPOClip]:
    """Parse ``vpo_data_clean.csv`` of the re-organized form.

    Args:
        text (str): Contents of the file.
        path (str): Path of the file, for messages.

    Returns:
        list[VPOClip]: One record per row, in the order of the file.

    Raises:
        DatasetIndexError: If a column is missing, or a row holds an unknown
            value.
    """
    header, *rows = read_table(text, path)
    columns = find_columns(
        header.cells,
        REORGANISED_COLUMNS,
        path,
        'Expected a comma-separated file with the columns uid, frame, mask, '
        'category, split, type.',
    )
    clips, lines = [], {}
    for row in rows:
        place = f'{path}, line {row.line}'
        uid, frame, mask, split, kind = (row.cells[c] for c in columns)
        check_name(uid, 'uid', place)
        folder = _folder_of(kind)
        if split not in (TRAIN, TEST, 'test') or folder is None:
            raise DatasetIndexError(
                f'{place}: split {split!r} and type {kind!r}; expected train, '
                f'val or test, and VPO-SS, VPO-MS or VPO-MSMI. {RESTORE}'
            )
        frame, mask = (value.rpartition('/')[2] for value in (frame, mask))
        check_name(frame, 'frame', place)
        check_name(mask, 'mask', place)
        clip = VPOClip(
            uid, frame, mask, folder, TRAIN if split == TRAIN else TEST
        )
        earlier = lines.setdefault((folder, uid, frame), row.line)
        if earlier != row.line:
            raise DatasetIndexError(
                f'{place}: frame {frame!r} of {folder}/{uid} stands in line '
                f'{earlier} already. Remove the repeated row.'
            )
        clips.append(clip)
    return clips


def _folder_of(kind: str) -> str | None:
    """Name the folder that a ``type`` means: 'VPO-SS', 'vpo_ss' or 'ss'."""
    name = kind.upper().replace('_', '-').removeprefix('VPO-')
    return f'VPO-{name}' if name in ('SS', 'MS', 'MSMI') else None


def seeded_order(names: Iterable[str], *key: object) -> list[str]:
    """Put names in an order that only they and the key decide.

    Args:
        names (Iterable[str]): Names, in any order; repeated ones count once.
        key (object): Seed and purpose.

    Returns:
        list[str]: The names.
    """
    start = '/'.join(map(str, key))
    return sorted(
        set(names),
        key=lambda name: hashlib.blake2b(
            f'{start}/{name}'.encode(), digest_size=8
        ).digest(),
    )


def held_out_images(
    images: Iterable[str], share: float, seed: int
) -> frozenset[str]:
    """Draw the training images that are kept for the choice of a model.

    Images are put in an order that only their names and the seed decide, and
    the first ones are taken. All objects of an image go together.

    Args:
        images (Iterable[str]): Names of the training images.
        share (float): Share of them, 0 to below 1.
        seed (int): Seed of the order.

    Returns:
        frozenset[str]: Names of those held out: the share, rounded, but at
        least one where the share is not 0 and there are two images.
    """
    names = seeded_order(images, seed)
    number = round(share * len(names))
    if share > 0 and len(names) > 1:
        number = min(max(number, 1), len(names) - 1)
    return frozenset(names[:number])
