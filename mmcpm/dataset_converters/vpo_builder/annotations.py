"""Instance annotations in COCO's format: pictures and what they show."""

import json
import math
from collections.abc import Iterator, Mapping
from numbers import Real
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from mmcpm.datasets.errors import DatasetIndexError, DatasetNotFoundError
from mmcpm.datasets.metadata.vpo import ID_DIGITS

from .segmentation import encode_segmentation, mask_area, mask_center

PARTS = ('images', 'annotations', 'categories')
# Share of the width by which the center of 'bbox' may differ from the mask's.
BOX_TOLERANCE = 0.1


class Instance(NamedTuple):
    """An object of a class that can be heard.

    Attributes:
        number (int): Id of its annotation.
        class_name (str): One of VPO's classes.
        crowd (bool): Whether it stands for several objects; it has no mask.
        area (int): Pixels of its mask.
        position (float): Horizontal center of its box, 0 (left border of the
            picture) to 1 (right border).
        mask (dict): Compressed run lengths of pycocotools.
    """

    number: int
    class_name: str
    crowd: bool
    area: int
    position: float
    mask: dict


class Picture(NamedTuple):
    """A picture with its objects.

    Attributes:
        number (int): Id of the picture.
        path (Path): Path of the file.
        height (int): Pixels.
        width (int): Pixels.
        instances (tuple[Instance, ...]): Instances of sounding classes, by id.
    """

    number: int
    path: Path
    height: int
    width: int
    instances: tuple[Instance, ...]


def load_annotations(path: Path) -> dict:
    """Load an annotation file.

    Args:
        path (Path): A JSON file.

    Returns:
        dict: Lists ``images``, ``annotations`` and ``categories`` by name.

    Raises:
        DatasetNotFoundError: If there is no such file.
        DatasetIndexError: If it is no instance annotations.
    """
    expected = (
        'Expected instance annotations in the format of COCO, as '
        'instances_train2017.json: a dictionary with the lists '
        f'{", ".join(PARTS)}.'
    )
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DatasetNotFoundError(
            f'Cannot read the annotations {path}: {error.strerror}. {expected}'
        ) from error
    except ValueError as error:
        raise DatasetIndexError(
            f'{path} is no JSON file ({error}). {expected}'
        ) from error
    found = content if isinstance(content, dict) else {}
    for part in PARTS:
        entries = found.get(part)
        if not isinstance(entries, list) or not all(
            isinstance(entry, dict) for entry in entries
        ):
            raise DatasetIndexError(
                f'{path}: {part} is not a list of dictionaries; the file '
                f'holds {", ".join(found) or type(content).__name__}. '
                f'{expected}'
            )
    return content


def category_names(content: dict, path: Path) -> dict[int, str]:
    """Name the categories.

    Args:
        content (dict): The annotations.
        path (Path): Path of the file, for messages.

    Returns:
        dict[int, str]: By id.

    Raises:
        DatasetIndexError: If an entry is none, or repeats an id.
    """
    names = {}
    for place, entry in _entries(content, 'categories', path):
        name = entry.get('name')
        if not isinstance(name, str) or not name.strip():
            raise DatasetIndexError(
                f'{place}: name {name!r} is not the name of a category. '
                'Correct the entry.'
            )
        names[entry['id']] = name.strip()
    return names


def read_pictures(
    content: dict, path: Path, folder: Path, class_of: Mapping[str, str]
) -> list[Picture]:
    """List the pictures and what can be heard of them.

    Args:
        content (dict): The annotations.
        path (Path): Path of the file, for messages.
        folder (Path): Folder of the pictures.
        class_of (Mapping[str, str]): VPO's class by name of the category;
            objects of others are silent.

    Returns:
        list[Picture]: By id.

    Raises:
        DatasetIndexError: If an entry cannot be, or two contradict.
    """
    names = category_names(content, path)
    pictures, owners = {}, {}
    for place, entry in _entries(content, 'images', path):
        picture = _read_image(entry, place, folder)
        earlier = owners.setdefault(picture.path, place)
        if earlier != place:
            raise DatasetIndexError(
                f'{place}: file_name {entry["file_name"]!r} is that of '
                f'{earlier} too; one picture could come to be in both '
                'splits. Remove one of the entries.'
            )
        pictures[picture.number] = picture
    instances = {number: [] for number in pictures}
    for place, entry in _entries(content, 'annotations', path):
        image, category = entry.get('image_id'), entry.get('category_id')
        for key, value, known in (
            ('image_id', image, pictures),
            ('category_id', category, names),
        ):
            if not isinstance(value, int) or value not in known:
                raise DatasetIndexError(
                    f'{place}: {key} {value!r} is the id of no entry of the '
                    'file. Add that entry, or remove this one.'
                )
        if class_name := class_of.get(names[category]):
            instances[image].append(
                _read_instance(entry, place, pictures[image], class_name)
            )
    return [
        picture._replace(instances=tuple(sorted(instances[number])))
        for number, picture in sorted(pictures.items())
    ]


def _entries(
    content: dict, part: str, path: Path
) -> Iterator[tuple[str, dict]]:
    """Give the entries of a part with their places; check their ids."""
    seen = {}
    for index, entry in enumerate(content[part]):
        number = entry.get('id')
        place = f'{path}: {part}[{index}] (id {number!r})'
        if not isinstance(number, int) or not 0 <= number < 10**ID_DIGITS:
            raise DatasetIndexError(
                f'{place}: expected a whole number of at most {ID_DIGITS} '
                'digits as id. Number the entries.'
            )
        if number in seen:
            raise DatasetIndexError(
                f'{place}: {part}[{seen[number]}] has this id already. Remove '
                'one of them, or number them anew.'
            )
        seen[number] = index
        yield place, entry


def _read_image(entry: dict, place: str, folder: Path) -> Picture:
    """Read one entry of ``images``."""
    name, size = entry.get('file_name'), []
    if (
        not isinstance(name, str)
        or not name.strip()
        or PurePosixPath(name).is_absolute()
        or '..' in PurePosixPath(name).parts
    ):
        raise DatasetIndexError(
            f'{place}: file_name {name!r} is no path inside {folder}. '
            'Correct the entry.'
        )
    for key in ('height', 'width'):
        size.append(entry.get(key))
        if not isinstance(size[-1], int) or size[-1] < 1:
            raise DatasetIndexError(
                f'{place}: {key} {size[-1]!r}; expected pixels. Correct the '
                'entry.'
            )
    return Picture(entry['id'], folder / name, *size, ())


def _read_instance(
    entry: dict, place: str, picture: Picture, class_name: str
) -> Instance:
    """Read one entry of ``annotations``."""
    if entry.get('iscrowd', 0) not in (0, 1):
        raise DatasetIndexError(
            f'{place}: iscrowd {entry["iscrowd"]!r}; expected 0 or 1. Correct '
            'the entry.'
        )
    if entry.get('iscrowd', 0):
        return Instance(entry['id'], class_name, True, 0, 0.5, {})
    try:
        mask = encode_segmentation(
            entry.get('segmentation'), picture.height, picture.width
        )
        area = mask_area(mask)
        center = _box_center(entry.get('bbox'), mask, picture.width)
    except ValueError as error:
        raise DatasetIndexError(
            f'{place}: {error}. Expected the mask of one object as polygons '
            'or run lengths, and its box as [left, top, width, height], all '
            f'in pixels of {picture.path.name}. Correct or remove the entry.'
        ) from error
    position = min(max(center / picture.width, 0.0), 1.0)
    return Instance(
        entry['id'], class_name, False, area, round(position, 6), mask
    )


def _box_center(box: list | None, mask: dict, width: int) -> float:
    """Give the horizontal center of a box in pixels; check it by the mask."""
    center = mask_center(mask)
    if box is None or not mask_area(mask):
        return center
    if (
        not isinstance(box, list)
        or len(box) != 4
        or not all(isinstance(n, Real) and math.isfinite(n) for n in box)
    ):
        raise ValueError(f'its bbox is {str(box)[:60]}')
    given = box[0] + box[2] / 2
    if abs(given - center) > BOX_TOLERANCE * width:
        raise ValueError(
            f'its bbox {box} is centered on column {given:.1f}, its mask on '
            f'column {center:.1f} (is it [left, top, right, bottom]?)'
        )
    return given
