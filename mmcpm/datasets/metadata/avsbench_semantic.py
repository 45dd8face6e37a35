"""The index files of AVSBench-Semantic, and what must lie beside them.

Pure functions: file contents in, records or one clear error out.
"""

import json
import os.path as osp
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from mmcpm.utils.errors import shorten

from ..errors import DatasetIndexError
from .index_table import SPLITS, check_name, find_columns, read_table

COLUMNS = ('uid', 'a_obj', 'split', 'label')
LAYOUT = (
    'metadata.csv, label2idx.json and the clip folders v1s/<uid>/, '
    'v1m/<uid>/, v2/<uid>/'
)


class Clip(NamedTuple):
    """One row of the metadata.

    Attributes:
        uid (str): Name of the clip and of its folder.
        split (str): 'train', 'val' or 'test'.
        subset (str): 'v1s', 'v1m' or 'v2': the folder the clip lies in.
        sources (str): 'ss' if one class sounds, 'ms' if several do.
        names (tuple[str, ...]): Names of the sounding classes, see
            :func:`sounding_names`.
    """

    uid: str
    split: str
    subset: str
    sources: str
    names: tuple[str, ...] = ()


def count_sources(a_obj: str) -> str:
    """Sort a clip into the partition of one ('ss') or several sources ('ms').

    The partition of the CPM paper's Table 2 (1278 and 276 test clips) is the
    number of names in ``a_obj``, whatever they are: the published file also
    holds 'background', 'off-the-screen' and the misspelled 'h orse'.
    """
    return 'ms' if '_' in a_obj else 'ss'


def sounding_names(a_obj: str) -> tuple[str, ...]:
    """List the different names in ``a_obj``; 'h orse' is a horse."""
    names = (''.join(name.lower().split()) for name in a_obj.split('_'))
    return tuple(dict.fromkeys(name for name in names if name))


def recording_of(uid: str) -> str:
    """Name the video that a clip was cut from.

    The clip is ``<video>_<start ms>_<end ms>``, ``<video>_<number>`` or
    ``<video>``.
    """
    return re.sub(r'(?<=.)(_\d+){1,2}$', '', uid)


def read_metadata(text: str, path: str, subsets: Sequence[str]) -> list[Clip]:
    """Parse ``metadata.csv``.

    Args:
        text (str): Contents of the file.
        path (str): Path of the file, for messages.
        subsets (Sequence[str]): Accepted values of the column ``label``.

    Returns:
        list[Clip]: One record per row, in the order of the file.

    Raises:
        DatasetIndexError: If a column is missing, or a row holds an unknown
            value.
    """
    header, *rows = read_table(text, path)
    columns = find_columns(
        header.cells,
        COLUMNS,
        path,
        'Expected a comma-separated file with the columns vid, uid, s_min, '
        's_sec, a_obj, split, label, as AVSBench-Semantic ships it.',
    )
    clips = []
    for row in rows:
        place = f'{path}, line {row.line}'
        uid, a_obj, split, subset = (row.cells[column] for column in columns)
        for column, value, accepted in (
            ('split', split, SPLITS),
            ('label', subset, subsets),
        ):
            if value not in accepted:
                raise DatasetIndexError(
                    f'{place} (uid {uid!r}): unknown {column} {value!r}; '
                    f'expected one of {", ".join(accepted)}. Restore the file '
                    "from the dataset's archive."
                )
        # The uid becomes part of paths, also of files that are written.
        check_name(uid, 'uid', place)
        sources, names = count_sources(a_obj), sounding_names(a_obj)
        clips.append(Clip(uid, split, subset, sources, names))
    return clips


def check_label_index(
    text: str, path: str, classes: Sequence[str], owner: str
) -> None:
    """Compare ``label2idx.json`` with the classes of the dataset class.

    The published file counts from 1, the label maps count from 0.

    Args:
        text (str): Contents of the file.
        path (str): Path of the file, for messages.
        classes (Sequence[str]): Expected class names, by class id.
        owner (str): Name of the dataset class, for messages.

    Raises:
        DatasetIndexError: If the file lists other classes, or in another
            order.
    """
    remedy = (
        f"Use the dataset's own {osp.basename(path)}, or the dataset "
        'class that belongs to these labels.'
    )
    try:
        index = json.loads(text)
        lowest = min(index.values())
        found = {name: value - lowest for name, value in index.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise DatasetIndexError(
            f'{path}: expected a JSON object from class name to number, got '
            f'{text[:60]!r} ({error}). {remedy}'
        ) from error
    if set(found) != set(classes) or len(found) != len(classes):
        lacking = [name for name in classes if name not in found]
        unknown = [name for name in found if name not in classes]
        raise DatasetIndexError(
            f'{path} lists {len(found)} classes, {owner} has {len(classes)}. '
            f'Not in the file: {shorten(lacking)}; not in {owner}: '
            f'{shorten(unknown)}. {remedy}'
        )
    for label, name in enumerate(classes):
        if found[name] != label:
            raise DatasetIndexError(
                f'{path} gives class {name!r} the id {found[name]} (after '
                f'subtracting the lowest number, {lowest}), {owner} gives it '
                f'{label}. {remedy}'
            )


def check_selection(
    clips: Sequence[Clip], rows: Sequence[Clip], path: str, wanted: str
) -> None:
    """Refuse an empty selection of clips and names that are not unique.

    Args:
        clips (Sequence[Clip]): The selected clips.
        rows (Sequence[Clip]): All clips of the metadata.
        path (str): Path of the metadata, for messages.
        wanted (str): Description of the selection, for messages.

    Raises:
        DatasetIndexError: If no clip is left or a uid stands twice.
    """
    if not rows:
        raise DatasetIndexError(
            f'{path} names no clips: there is no row below the first. Restore '
            "it from the dataset's archive."
        )
    if not clips:
        found = Counter((row.split, row.subset, row.sources) for row in rows)
        listed = ', '.join(
            f'{"/".join(key)}: {number}'
            for key, number in sorted(found.items())
        )
        raise DatasetIndexError(
            f'{path}: no clip with {wanted}. Its {len(rows)} rows are '
            f'(split/subset/sources: clips) {listed}. Choose '
            'another split or subset.'
        )
    numbers = Counter(clip.uid for clip in clips)
    repeated = [uid for uid, number in numbers.items() if number > 1]
    if repeated:
        raise DatasetIndexError(
            f'{path}: each of {len(repeated)} uids stands in more than one '
            f'row with {wanted}, and predictions are named by the uid: '
            f'{shorten(repeated)}. Remove the repeated rows.'
        )
