"""Reading an index file to its end, whatever is wrong on the way.

The readers of the dataset classes stop at the first fault. Here they are
given one row at a time, so that all faults come to light and no second parser
can disagree with them.
"""

import csv
import io
import os.path as osp
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from mmcpm.datasets.errors import DatasetIndexError
from mmcpm.datasets.metadata.index_table import DELIMITERS, Row

from .report import Finding


class IndexFile(NamedTuple):
    """An index file.

    Attributes:
        name (str): Path of the file, relative to the data root.
        header (list[str]): The names of its columns; empty if it has none.
        rows (list[Row]): Rows of the file, without that of the names.
        findings (list[Finding]): Faults found so far.
        bad_cells (set[str]): All values of the rows that were refused: what
            lies on disk for them is not unasked for.
    """

    name: str
    header: list[str]
    rows: list[Row]
    findings: list[Finding]
    bad_cells: set[str]


def read_index_file(
    root: str,
    name: str,
    *,
    is_header: Callable[[list[str]], bool] = lambda cells: True,
) -> IndexFile:
    """Read a table, tolerating every fault.

    Args:
        root (str): The data root.
        name (str): Path of the file in it.
        is_header (Callable): Whether the cells of the first row are names of
            columns.

    Returns:
        IndexFile: Its rows and what is wrong with it.
    """
    findings = []
    with open(osp.join(root, name), 'rb') as file:
        text = _decode(file.read(), name, findings)
    first = text.lstrip().partition('\n')[0]
    delimiter = max(DELIMITERS, key=first.count)
    if delimiter != ',':
        what = f'separated by {DELIMITERS[delimiter]}, expected commas'
        findings.append(Finding('delimiter', name, what))
    reader = csv.reader(
        io.StringIO(text, newline=''), delimiter=delimiter, strict=True
    )
    rows = []
    try:
        for record in reader:
            cells = [cell.strip() for cell in record]
            if any(cells):
                rows.append(Row(reader.line_num, cells))
    except csv.Error as error:
        findings.append(
            Finding('row', name, f'{error}; the rest is lost', reader.line_num)
        )
    if not rows:
        findings.append(Finding('index', name, 'it has no rows'))
        return IndexFile(name, [], [], findings, set())
    width = len(rows[0].cells)
    header = []
    if is_header(rows[0].cells):
        header = rows.pop(0).cells
        if not rows:
            findings.append(
                Finding('index', name, 'it has no row below the first')
            )
    whole, bad_cells = [], set()
    for row in rows:
        if len(row.cells) == width:
            whole.append(row)
            continue
        what = f'{len(row.cells)} cells where the first row has {width}'
        findings.append(Finding('row', name, what, row.line))
        bad_cells.update(row.cells)
    return IndexFile(name, header, whole, findings, bad_cells)


def _decode(data: bytes, name: str, findings: list[Finding]) -> str:
    """Decode a text; tell if it is not UTF-8."""
    try:
        return data.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        findings.append(
            Finding('index', name, f'it is no UTF-8 text ({error})')
        )
    if data[:2] in (b'\xff\xfe', b'\xfe\xff'):
        return data.decode('utf-16', errors='replace')
    # Every byte means something there.
    return data.decode('latin-1')


def parse_rows(
    index: IndexFile, reader: Callable[[str, str], list]
) -> list[tuple[int, Any]]:
    """Let the reader of a dataset class read every row on its own.

    Args:
        index (IndexFile): The file; refused rows are added to its findings.
        reader (Callable): Takes a text and a path and gives records.

    Returns:
        list[tuple[int, Any]]: Line and record of each accepted row; empty if
        the columns are not as expected.
    """
    if index.header:
        try:
            reader(as_text([index.header]), '')
        except DatasetIndexError as error:
            index.findings.append(
                Finding('index', index.name, _message(error))
            )
            return []
    records = []
    for row in index.rows:
        lines = [index.header] if index.header else []
        try:
            found = reader(as_text([*lines, row.cells]), '')
        except DatasetIndexError as error:
            index.findings.append(
                Finding('row', index.name, _message(error), row.line)
            )
            index.bad_cells.update(row.cells)
        else:
            records += [(row.line, record) for record in found]
    return records


def as_text(rows: list[list[str]]) -> str:
    """Write rows of cells, one per line, separated by commas."""
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows(rows)
    return text.getvalue()


def _message(error: DatasetIndexError) -> str:
    """Take the place, which is wrong for a row alone, off a message."""
    message = str(error).removeprefix(', line 2').removeprefix(', line 1')
    return message.lstrip(': ').strip()


def find_repetitions(
    name: str, rows: Iterable[tuple[int, str, str]]
) -> list[Finding]:
    """Look for clips in several rows.

    Args:
        name (str): The index file.
        rows (Iterable[tuple[int, str, str]]): Line, clip and split of each.

    Returns:
        list[Finding]: One per clip, at its second row.
    """
    places = defaultdict(list)
    for line, uid, split in rows:
        places[uid].append((line, split))
    findings = []
    for uid, found in places.items():
        if len(found) == 1:
            continue
        splits = {split for _, split in found}
        listed = ', '.join(f'{line} ({split})' for line, split in found)
        findings.append(
            Finding(
                'repeated' if len(splits) == 1 else 'splits',
                name,
                f'{uid} stands in the lines {listed}',
                found[1][0],
            )
        )
    return findings
