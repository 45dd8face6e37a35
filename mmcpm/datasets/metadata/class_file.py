"""Class lists in text files: one name per line, maybe with a color.

Pure functions: file contents in, names and colors or one clear error out.
"""

import re
from collections.abc import Mapping
from typing import Any

from ..errors import DatasetIndexError, DatasetNotFoundError, why
from .index_table import read_text

BACKGROUND = 'background'
# Values of a label file are bytes, and 255 is ignored.
MOST_CLASSES = 255
LINE = re.compile(r'(?P<name>.*?)(?:\s+(?P<color>\d+\s+\d+\s+\d+))?')
EXPECTED = (
    'Expected one class name per line, in the order of the ids in the label '
    "files, and where wanted its color: 'cell phone' or 'cell phone 128 0 64'"
)


def voc_palette(num_classes: int) -> list[list[int]]:
    """Make the colors of PASCAL VOC, which ``labels_rgb`` uses.

    Each three bits of the class id, the lowest first, give one bit of red,
    green and blue, the highest first.

    Args:
        num_classes (int): Number of colors, at most 256.

    Returns:
        list[list[int]]: Red, green, blue in 0..255 for every class id.
    """
    return [
        [
            sum(
                (label >> (3 * place + channel) & 1) << (7 - place)
                for place in range(3)
            )
            for channel in range(3)
        ]
        for label in range(num_classes)
    ]


def parse_class_file(text: str, path: str) -> dict[str, Any]:
    """Read class names and colors.

    The background, class 0, may stand in the first line or is put before it.

    Args:
        text (str): Contents of the file.
        path (str): Its path, for messages.

    Returns:
        dict[str, Any]: ``classes`` (tuple[str, ...]), the background first,
        and ``palette`` (list[list[int]]), red, green, blue in 0..255 by
        class; colors of PASCAL VOC if the file gives none.

    Raises:
        DatasetIndexError: If no class is listed, one is listed twice, the
            background is not the first, or a color is missing or none.
    """
    names, colors = [], []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        place = f'{path}, line {number}'
        found = LINE.fullmatch(line.strip())
        name, color = found['name'], found['color']
        if not name or name in names:
            told = f'{name!r} is listed twice' if name else 'there is no name'
            raise DatasetIndexError(f'{place}: {told}. {EXPECTED}.')
        if name.lower() == BACKGROUND and names:
            raise DatasetIndexError(
                f'{place}: the background is class 0. Move it to the first '
                'line, or leave it out: it is added there.'
            )
        color = [int(value) for value in color.split()] if color else None
        if color and max(color) > 255:
            raise DatasetIndexError(
                f'{place}: the color {color} has a value above 255. '
                f'{EXPECTED}.'
            )
        names.append(name)
        colors.append(color)
    if not names or names[0].lower() != BACKGROUND:
        names.insert(0, BACKGROUND)
        # Black is the background's color, as in every palette of the field.
        colors.insert(0, [0, 0, 0] if any(colors) else None)
    if not 2 <= len(names) <= MOST_CLASSES:
        raise DatasetIndexError(
            f'{path} lists {len(names) - 1} classes beside the background, '
            f'but 1 to {MOST_CLASSES - 1} can be told apart in a label file. '
            f'{EXPECTED}.'
        )
    if not any(colors):
        colors = voc_palette(len(names))
    elif None in colors:
        raise DatasetIndexError(
            f'{path}: {names[colors.index(None)]!r} has no color, but others '
            f'have. Give all classes one, or none. {EXPECTED}.'
        )
    return {'classes': tuple(names), 'palette': colors}


def format_class_file(metainfo: Mapping[str, Any]) -> str:
    """Write a class list: the opposite of :func:`parse_class_file`."""
    pairs = zip(metainfo['classes'], metainfo['palette'], strict=True)
    return ''.join(
        f'{" ".join(map(str, (name, *color)))}\n' for name, color in pairs
    )


def read_class_file(
    path: str, backend_args: dict | None = None
) -> dict[str, Any]:
    """Fetch and read a class list.

    Args:
        path (str): Path or address of the file.
        backend_args (dict, optional): Arguments of the ``mmengine.fileio``
            backend.

    Returns:
        dict[str, Any]: See :func:`parse_class_file`.

    Raises:
        DatasetNotFoundError: If the storage does not give it.
        DatasetIndexError: If it is no such list.
    """
    try:
        text = read_text(path, backend_args)
    except DatasetNotFoundError as error:
        raise DatasetNotFoundError(
            f'Cannot read the class list {path}: {why(error.__cause__)}. '
            f'{EXPECTED}. Where it lies: class_file of the dataset, under '
            'its data_root (--data-root DIR).'
        ) from error
    return parse_class_file(text, path)
