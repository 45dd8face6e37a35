"""The index files of AVSBench-Semantic, and what must lie beside them.

Pure functions: file contents in, records or one clear error out.
"""

import csv
import io
import json
import os
import os.path as osp
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import mmengine.fileio as fileio

from mmcpm.utils.errors import shorten

from ..errors import DatasetIndexError, DatasetNotFoundError, why

SPLITS = ('train', 'val', 'test')
COLUMNS = ('uid', 'a_obj', 'split', 'label')
LAYOUT = (
    'metadata.csv, label2idx.json and the clip folders v1s/<uid>/, '
    'v1m/<uid>/, v2/<uid>/'
)

# Index files and folders of AVSBench-Object's S4 and MS3.
OBJECT_LAYOUT = (
    's4_meta_data.csv',
    'ms3_meta_data.csv',
    's4_data',
    'ms3_data',
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


def read_text(path: str, backend_args: dict | None) -> str:
    """Fetch an index file.

    Args:
        path (str): Path or address of the file.
        backend_args (dict, optional): Arguments of the ``mmengine.fileio``
            backend.

    Returns:
        str: Contents of the file.

    Raises:
        DatasetNotFoundError: If the storage does not give it.
        DatasetIndexError: If the file is no UTF-8 text.
    """
    try:
        return fileio.get_text(
            path, encoding='utf-8-sig', backend_args=backend_args
        )
    except (OSError, ImportError, KeyError) as error:
        reason = why(error)
        if isinstance(error, KeyError):
            reason = f'mmengine has no storage backend named {error}'
        raise DatasetNotFoundError(
            f'Cannot read the index file {path}: {reason}. Check '
            'data_root, and backend_args of the dataset.'
        ) from error
    except UnicodeDecodeError as error:
        raise DatasetIndexError(
            f'{path}: expected a UTF-8 text file, got other bytes ({error}). '
            "Restore it from the dataset's archive."
        ) from error


def count_sources(a_obj: str) -> str:
    """Sort a clip into the single-source or multi-source partition.

    The partition of the CPM paper's Table 2 (1278 and 276 test clips) is the
    number of names in ``a_obj``, whatever they are: the published file also
    holds 'background', 'off-the-screen' and the misspelled 'h orse'.

    Args:
        a_obj (str): Names of the sounding classes, joined by '_'.

    Returns:
        str: 'ss' for one name, 'ms' for two or more.
    """
    return 'ms' if '_' in a_obj else 'ss'


def sounding_names(a_obj: str) -> tuple[str, ...]:
    """List the names in ``a_obj``; the misspelled 'h orse' is a horse.

    Args:
        a_obj (str): Names of the sounding classes, joined by '_'.

    Returns:
        tuple[str, ...]: Different names, in the order of the file.
    """
    names = (''.join(name.lower().split()) for name in a_obj.split('_'))
    return tuple(dict.fromkeys(name for name in names if name))


def recording_of(uid: str) -> str:
    """Name the video that a clip was cut from.

    Args:
        uid (str): ``<video>_<start ms>_<end ms>``, ``<video>_<number>`` or
            ``<video>``.

    Returns:
        str: ``<video>``.
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
    reader = csv.DictReader(io.StringIO(text, newline=''))
    try:
        columns = reader.fieldnames or []
        if missing := [name for name in COLUMNS if name not in columns]:
            raise DatasetIndexError(
                f'{path}: column {", ".join(missing)} is missing; the first '
                f'row names {", ".join(columns) or "no columns"}. Expected a '
                'comma-separated file with the columns vid, uid, s_min, '
                's_sec, a_obj, split, label, as AVSBench-Semantic ships it.'
            )
        return [
            _parse_row(row, f'{path}, line {reader.line_num}', subsets)
            for row in reader
        ]
    except csv.Error as error:
        raise DatasetIndexError(
            f'{path}, after line {reader.line_num}: {error}. Expected a '
            "comma-separated file; restore it from the dataset's archive."
        ) from error


def _parse_row(row: dict, place: str, subsets: Sequence[str]) -> Clip:
    """Make the record of one row of the metadata."""
    uid, a_obj, split, subset = ((row[name] or '').strip() for name in COLUMNS)
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
    if uid in ('', '.', '..') or '/' in uid or '\\' in uid:
        raise DatasetIndexError(
            f"{place}: uid {uid!r} cannot be the name of a clip's folder."
        )
    return Clip(
        uid, split, subset, count_sources(a_obj), sounding_names(a_obj)
    )


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


def check_data_root(data_root: str, files: Iterable[str]) -> None:
    """Look for the data root and its index files on the local disk.

    Args:
        data_root (str): Folder of the dataset.
        files (Iterable[str]): Paths of files that must exist in it.

    Raises:
        DatasetNotFoundError: Names the absolute path, what is expected there
            and how to set another one.
    """
    remedy = (
        'Set it with --data-root DIR (tools/train.py, tools/test.py) '
        'or data_root in the config.'
    )
    absolute = osp.abspath(data_root)
    if not osp.isdir(absolute):
        relative = (
            ''
            if osp.isabs(data_root)
            else (f' (data_root={data_root!r} under the current directory)')
        )
        raise DatasetNotFoundError(
            f'No data root at {absolute}{relative}. Expected the folder that '
            f'holds {LAYOUT}. {remedy}'
        )
    for file in files:
        if not osp.isfile(file):
            inside = sorted(os.listdir(absolute))
            raise DatasetNotFoundError(
                f'No file {osp.abspath(file)}. Expected a data root that '
                f'holds {LAYOUT}; it holds {shorten(inside)}.'
                f'{_hint(absolute, inside, osp.basename(file))} {remedy}'
            )


def _hint(data_root: str, inside: list[str], file: str) -> str:
    """Guess which folder was meant."""
    near = [osp.dirname(data_root), *(osp.join(data_root, n) for n in inside)]
    for folder in near:
        if osp.isfile(osp.join(folder, file)):
            return f' Did you mean {folder}?'
    if any(name in inside for name in OBJECT_LAYOUT):
        return (
            ' This looks like AVSBench-Object (S4 or MS3), which is laid out '
            'in another way.'
        )
    return ''


def check_clip_folders(data_root: str, clips: Iterable[Clip]) -> None:
    """Look for the folder of every clip, listing each subset folder once.

    Args:
        data_root (str): Folder of the dataset.
        clips (Iterable[Clip]): The clips that will be read.

    Raises:
        DatasetNotFoundError: Names the missing subset folder, or the number of
            missing clips and the first five.
    """
    clips = list(clips)
    present = {}
    for subset in sorted({clip.subset for clip in clips}):
        folder = osp.join(osp.abspath(data_root), subset)
        if not osp.isdir(folder):
            raise DatasetNotFoundError(
                f'No folder {folder}, which holds '
                f'{sum(clip.subset == subset for clip in clips)} clips of '
                'the metadata. Unpack that part of the dataset, or leave it '
                "out with the dataset's argument subset."
            )
        with os.scandir(folder) as entries:
            present[subset] = {e.name for e in entries if e.is_dir()}
    missing = [
        osp.join(clip.subset, clip.uid)
        for clip in clips
        if clip.uid not in present[clip.subset]
    ]
    if missing:
        raise DatasetNotFoundError(
            f'{len(missing)} of {len(clips)} clip folders are missing under '
            f'{osp.abspath(data_root)}: {shorten(missing)}. Unpack the '
            'dataset again, or remove their rows from the metadata.'
        )
