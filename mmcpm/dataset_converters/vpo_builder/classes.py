"""Categories of the annotations, and the recordings that they sound like."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from mmcpm.datasets.errors import DatasetIndexError, DatasetNotFoundError
from mmcpm.datasets.metadata.index_table import (
    find_columns,
    read_table,
    read_text,
)
from mmcpm.datasets.vpo import VPODataset
from mmcpm.utils.errors import shorten

CLASSES = VPODataset.METAINFO['classes'][1:]
ALIASES = {
    'aeroplane': 'airplane',
    'motorbike': 'motorcycle',
    'cellphone': 'cell phone',
    'mobile phone': 'cell phone',
    'man': 'male',
    'woman': 'female',
}
# Labels of VGGSound (Chen et al., 2020) by class of VPO. Its 'mouse
# squeaking' and 'mouse pattering' are the animal's. Which labels VPO itself
# took is not published.
VGGSOUND_LABELS = {
    'airplane': ('airplane', 'airplane flyby'),
    'baby': ('baby babbling', 'baby crying', 'baby laughter'),
    'bird': (
        'bird chirping, tweeting', 'bird squawking', 'bird wings flapping',
    ),
    'bus': ('driving buses',),
    'car': (
        'car engine idling', 'car engine knocking', 'car engine starting',
        'car passing by', 'race car, auto racing',
        'vehicle horn, car horn, honking',
    ),
    'cat': (
        'cat caterwauling', 'cat growling', 'cat hissing', 'cat meowing',
        'cat purring',
    ),
    'cell phone': ('cell phone buzzing',),
    'cow': ('cattle mooing', 'cattle, bovinae cowbell', 'cow lowing'),
    'dog': (
        'dog barking', 'dog baying', 'dog bow-wow', 'dog growling',
        'dog howling', 'dog whimpering',
    ),
    'elephant': ('elephant trumpeting',),
    'female': ('female singing', 'female speech, woman speaking'),
    'horse': ('horse clip-clop', 'horse neighing'),
    'keyboard': ('typing on computer keyboard',),
    'male': ('male singing', 'male speech, man speaking'),
    'motorcycle': ('driving motorcycle',),
    'mouse': ('mouse clicking',),
    'sheep': ('sheep bleating',),
    'skateboard': ('skateboarding',),
    'sports ball': ('basketball bounce',),
    'tennis racket': ('playing tennis',),
    'zebra': ('zebra braying',),
}  # fmt: skip
MAP_REMEDY = (
    'Expected a csv file with the columns category, recording and, where it '
    'is called otherwise than the category, class; or a JSON file such as '
    '{"dog": ["dog barking", "dog howling"], "moped": {"class": '
    '"motorcycle", "recordings": ["driving motorcycle"]}}.'
)


class ClassMap(NamedTuple):
    """What sounds how.

    Attributes:
        class_of (dict[str, str]): Class of the dataset by category.
        heard_as (dict[str, str]): Class by label of a recording.
    """

    class_of: dict[str, str]
    heard_as: dict[str, str]


def match_by_name(
    categories: Iterable[str],
    labels: Iterable[str],
    classes: Sequence[str] = CLASSES,
) -> ClassMap:
    """Match categories and recordings by their names.

    A category is the class of the same name, whatever its capitals,
    underscores and hyphens; a recording is of that class if it is labeled so,
    or as VGGSound labels sounds of it. Classes without either are left out.
    COCO's 'person' is none: VPO tells male, female and baby.

    Args:
        categories (Iterable[str]): Categories of the annotations.
        labels (Iterable[str]): Labels of the recordings.
        classes (Sequence[str]): Classes of the dataset, without background.
            Defaults to those of VPO.

    Returns:
        ClassMap: The matches.

    Raises:
        DatasetIndexError: If there is none.
    """
    categories, labels = sorted(set(categories)), sorted(set(labels))
    by_label = {
        label: name
        for name, known in VGGSOUND_LABELS.items()
        for label in known
        if name in classes
    }
    heard_as = {
        label: name
        for label in labels
        if (name := class_named(label, classes) or by_label.get(label.lower()))
    }
    class_of = {
        category: name
        for category in categories
        if (name := class_named(category, classes)) in set(heard_as.values())
    }
    if not class_of:
        raise DatasetIndexError(
            'No category of the annotations has recordings by its name: the '
            f'categories are {shorten(categories)}, the recordings are '
            f'labeled {shorten(labels)}, the classes of the dataset are '
            f'{", ".join(classes)}. Tell what belongs together with a map of '
            f'classes. {MAP_REMEDY}'
        )
    used = set(class_of.values())
    return ClassMap(class_of, {k: v for k, v in heard_as.items() if v in used})


def class_named(name: str, classes: Sequence[str] = CLASSES) -> str | None:
    """Find the class that a name means.

    Args:
        name (str): Name of a category or recording.
        classes (Sequence[str]): Classes of the dataset. Defaults to those of
            VPO.

    Returns:
        str | None: The class; None if there is none.
    """
    known = {_plain(each): each for each in classes}
    plain = _plain(name)
    return known.get(plain) or known.get(ALIASES.get(plain))


def _plain(name: str) -> str:
    """Leave out capitals, underscores and hyphens."""
    return ' '.join(name.lower().replace('_', ' ').replace('-', ' ').split())


def read_class_map(
    path: Path,
    categories: Iterable[str],
    labels: Iterable[str],
    classes: Sequence[str] = CLASSES,
) -> ClassMap:
    """Read what belongs together from a file; all else is left out.

    Args:
        path (Path): A .json or .csv file.
        categories (Iterable[str]): Categories of the annotations.
        labels (Iterable[str]): Labels of the recordings.
        classes (Sequence[str]): Classes of the dataset, without background.
            Defaults to those of VPO.

    Returns:
        ClassMap: The matches.

    Raises:
        DatasetNotFoundError: If there is no such file.
        DatasetIndexError: If it is no such map, or names a category, class
            or label that does not exist.
    """
    if not path.is_file():
        raise DatasetNotFoundError(f'No file {path}. {MAP_REMEDY}')
    text = read_text(str(path), None)
    read = _read_json if path.suffix.lower() == '.json' else _read_csv
    class_of, heard_as = {}, {}
    for place, category, class_name, label in read(text, str(path)):
        name = class_named(class_name or category, classes)
        for value, kind, known in (
            (category, 'category of the annotations', categories),
            (label, 'label of the recordings', labels),
        ):
            if value not in known:
                raise DatasetIndexError(
                    f'{place}: {value!r} is no {kind}; they are '
                    f'{shorten(sorted(set(known)), 30)}. Correct or remove it.'
                )
        if name is None:
            raise DatasetIndexError(
                f'{place}: {class_name or category!r} is no class of the '
                f'dataset; they are {", ".join(classes)}. Name one of them as '
                'the class, or add it to --classes FILE.'
            )
        for table, key in ((class_of, category), (heard_as, label)):
            if table.setdefault(key, name) != name:
                raise DatasetIndexError(
                    f'{place}: {key!r} belongs to {table[key]!r} already, '
                    f'not to {name!r}. Keep one of the two.'
                )
    if not class_of:
        raise DatasetIndexError(f'{path} maps nothing. {MAP_REMEDY}')
    return ClassMap(class_of, heard_as)


def _read_csv(text: str, path: str) -> list[tuple]:
    """Read rows: place, category, class or '', label."""
    header, *rows = read_table(text, path)
    category, label = find_columns(
        header.cells, ('category', 'recording'), path, MAP_REMEDY
    )
    named = 'class' in header.cells and header.cells.index('class')
    return [
        (
            f'{path}, line {row.line}',
            row.cells[category],
            '' if named is False else row.cells[named],
            row.cells[label],
        )
        for row in rows
    ]


def _read_json(text: str, path: str) -> list[tuple]:
    """Read entries: place, category, class or '', label."""
    try:
        content = json.loads(text)
    except ValueError as error:
        raise DatasetIndexError(
            f'{path} is no JSON file ({error}). {MAP_REMEDY}'
        ) from error
    if not isinstance(content, dict):
        raise DatasetIndexError(
            f'{path}: a {type(content).__name__} arrived. {MAP_REMEDY}'
        )
    rows = []
    for category, entry in content.items():
        place = f'{path}, entry {category!r}'
        whole = entry if isinstance(entry, dict) else {'recordings': entry}
        labels, name = whole.get('recordings'), whole.get('class', '')
        labels = [labels] if isinstance(labels, str) else labels
        if (
            not isinstance(labels, list)
            or not labels
            or not all(isinstance(text, str) for text in (*labels, name))
        ):
            raise DatasetIndexError(
                f'{place}: {str(entry)[:80]} arrived. {MAP_REMEDY}'
            )
        rows += [(place, category, name, label) for label in labels]
    return rows
