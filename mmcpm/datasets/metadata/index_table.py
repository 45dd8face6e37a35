"""Index files that are tables, and the folders they speak of.

Pure functions: file contents in, rows or one clear error out.
"""

import contextlib
import csv
import io
import os
import os.path as osp
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import mmengine.fileio as fileio

from mmcpm.utils.errors import shorten

from ..errors import DatasetIndexError, DatasetNotFoundError, why

SPLITS = ('train', 'val', 'test')
DELIMITERS = {',': 'commas', ';': 'semicolons', '\t': 'tabs'}
ROOT_HINT = (
    'Set it with --data-root DIR (tools/train.py, tools/test.py) or '
    'data_root in the config.'
)
# Index files and folders of AVSBench-Object's S4 and MS3.
OBJECT_LAYOUT = {'s4_meta_data.csv', 'ms3_meta_data.csv'}
OBJECT_LAYOUT |= {'s4_data', 'ms3_data'}


class Row(NamedTuple):
    """One row of a table.

    Attributes:
        line (int): Line in the file, from 1.
        cells (list[str]): Values, without surrounding spaces.
    """

    line: int
    cells: list[str]


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


def read_table(text: str, path: str) -> list[Row]:
    """Parse a table separated by commas, semicolons or tabs.

    Spreadsheet programs of many countries save with semicolons; whichever
    separates the first row into most cells is taken.

    Args:
        text (str): Contents of the file.
        path (str): Path of the file, for messages.

    Returns:
        list[Row]: All rows, that of the column names included; those without
        any value are left out.

    Raises:
        DatasetIndexError: If the file is empty or no table, or if a row has
            fewer or more cells than the first.
    """
    first = text.lstrip().partition('\n')[0]
    delimiter = max(DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=''), delimiter=delimiter)
    try:
        rows = [
            Row(reader.line_num, cells)
            for record in reader
            if any(cells := [cell.strip() for cell in record])
        ]
    except csv.Error as error:
        raise DatasetIndexError(
            f'{path}, after line {reader.line_num}: {error}. Expected a '
            "comma-separated file; restore it from the dataset's archive."
        ) from error
    if not rows:
        raise DatasetIndexError(
            f'{path} is empty ({len(text)} characters, no row). Restore it '
            "from the dataset's archive."
        )
    width = len(rows[0].cells)
    for row in rows:
        if len(row.cells) != width:
            raise DatasetIndexError(
                f'{path}, line {row.line}: {len(row.cells)} cells, separated '
                f'by {DELIMITERS[delimiter]}, where the first row has '
                f"{width}. Restore the file from the dataset's archive."
            )
    return rows


def find_columns(
    header: Sequence[str], wanted: Sequence[str], path: str, remedy: str
) -> list[int]:
    """Find columns by name.

    Args:
        header (Sequence[str]): The first row.
        wanted (Sequence[str]): Names of columns that must be there.
        path (str): Path of the table, for messages.
        remedy (str): Advice to the user if one is not.

    Returns:
        list[int]: Their positions.

    Raises:
        DatasetIndexError: Names the missing columns and those found.
    """
    if missing := [name for name in wanted if name not in header]:
        raise DatasetIndexError(
            f'{path}: column {", ".join(missing)} is missing; the first row '
            f'names {", ".join(header)}. {remedy}'
        )
    return [header.index(name) for name in wanted]


def check_name(name: str, column: str, place: str) -> None:
    """Refuse a value that cannot be a part of a path.

    Args:
        name (str): The value.
        column (str): Name of the column, for messages.
        place (str): File and line, for messages.

    Raises:
        DatasetIndexError: If it is empty or leads to another folder.
    """
    if name in ('', '.', '..') or '/' in name or '\\' in name:
        raise DatasetIndexError(
            f'{place}: {column} {name!r} cannot be the name of a file or '
            "folder. Restore the table from the dataset's archive."
        )


def check_root(data_root: str, files: Iterable[str], layout: str) -> None:
    """Look for the data root and its index files on the local disk.

    Args:
        data_root (str): Folder of the dataset.
        files (Iterable[str]): Names of files that must lie in it.
        layout (str): Expected content of the folder, for messages.

    Raises:
        DatasetNotFoundError: Names the absolute path, what is expected there
            and how to set another one.
    """
    absolute = osp.abspath(data_root)
    if not osp.isdir(absolute):
        relative = (
            ''
            if osp.isabs(data_root)
            else f' (data_root={data_root!r} under the current directory)'
        )
        raise DatasetNotFoundError(
            f'No data root at {absolute}{relative}. Expected the folder that '
            f'holds {layout}. {ROOT_HINT}'
        )
    for file in files:
        if osp.isfile(osp.join(absolute, file)):
            continue
        inside = sorted(os.listdir(absolute))
        near = [osp.dirname(absolute)]
        near += [osp.join(absolute, name) for name in inside]
        meant = next((n for n in near if osp.isfile(osp.join(n, file))), None)
        hint = f' Did you mean {meant}?' if meant else ''
        if (
            not meant
            and file not in OBJECT_LAYOUT
            and OBJECT_LAYOUT & {*inside}
        ):
            hint = (
                ' This looks like AVSBench-Object (S4 or MS3), which is laid '
                'out in another way.'
            )
        raise DatasetNotFoundError(
            f'No file {osp.join(absolute, file)}. Expected a data root that '
            f'holds {layout}; it holds {shorten(inside)}.{hint} {ROOT_HINT}'
        )


def find_missing_files(
    paths: Iterable[str], are_folders: bool = False
) -> list[str]:
    """Look for files, reading every folder once.

    Args:
        paths (Iterable[str]): Paths on the local disk.
        are_folders (bool): Whether they are to be folders.

    Returns:
        list[str]: Those that are not there, sorted.
    """
    names = defaultdict(set)
    for path in paths:
        names[osp.dirname(path)].add(osp.basename(path))
    missing = []
    for folder, expected in names.items():
        # Without the folder none of its files is there.
        with contextlib.suppress(OSError):
            expected -= {
                entry.name
                for entry in os.scandir(folder)
                if not are_folders or entry.is_dir()
            }
        missing += [osp.join(folder, name) for name in expected]
    return sorted(missing)


def check_present(
    paths: Iterable[str], kind: str, remedy: str, are_folders: bool = False
) -> None:
    """Look for files or folders, listing each folder above them once.

    Args:
        paths (Iterable[str]): Paths on the local disk.
        kind (str): Name of their kind, in the plural.
        remedy (str): Advice to the user if one is missing.
        are_folders (bool): Whether they are to be folders.

    Raises:
        DatasetNotFoundError: Counts the missing ones and names the first.
    """
    paths = set(paths)
    if missing := find_missing_files(paths, are_folders):
        raise DatasetNotFoundError(
            f'{len(missing)} of {len(paths)} {kind} are missing: '
            f'{shorten(missing)}. {remedy}'
        )
