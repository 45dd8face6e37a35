"""Findings of a check of a dataset, and the report of them."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from prettytable import PrettyTable

from mmcpm.datasets.metadata.folder import REMEDIES

RESTORE = "Restore them from the dataset's archive."


class Kind(NamedTuple):
    """A kind of finding.

    Attributes:
        title (str): Name of the findings, in the plural.
        remedy (str): Advice to the user.
        is_fault (bool): Whether samples are lost or wrong. Otherwise the
            dataset can be used as it is, and it is a note.
    """

    title: str
    remedy: str
    is_fault: bool = True


KINDS = {
    'index': Kind('Index files', RESTORE),
    'row': Kind('Rows of the index file', RESTORE),
    'repeated': Kind(
        'Clips in several rows of one split', 'Remove the repeated rows.'
    ),
    'splits': Kind(
        'Clips in several splits',
        'What is tested has been trained on: keep one of the rows.',
    ),
    'missing': Kind(
        'Missing files and folders',
        'Unpack the dataset again, or remove their rows from the index file.',
    ),
    'unpaired': Kind(
        'Frames, labels and sounds without each other', REMEDIES['unpaired']
    ),
    'ambiguous': Kind(
        'Files of which several could be meant', REMEDIES['ambiguous']
    ),
    'numbering': Kind(
        'Clips whose frames cannot be told in time', REMEDIES['numbering']
    ),
    'format': Kind('Files of other formats', REMEDIES['format']),
    'unlisted': Kind(
        'Label maps with ids that the class list does not have',
        'Correct them, or add the missing names to the class list: its first '
        'class has id 1, the background 0, and 255 is ignored.',
    ),
    'colored': Kind(
        'Color pictures in place of label maps',
        'Save them with one channel that holds the class id of every pixel.',
    ),
    'link': Kind(
        'Broken symbolic links',
        'Bring back what they point to, or link again.',
    ),
    'frame': Kind('Unreadable frames', RESTORE),
    'label': Kind('Unreadable label maps', RESTORE),
    'sound': Kind(
        'Unreadable sounds',
        "Restore them from the dataset's archive, or extract them from the "
        'videos again.',
    ),
    'size': Kind(
        'Label maps of another size than their frames',
        'Take both from the same copy of the dataset.',
    ),
    'color': Kind(
        'Color pictures in place of label maps',
        'Restore them; in AVSBench-Semantic use the files of labels_semantic, '
        'not of labels_rgb. If there are none, --prepare DEST '
        '--decode-rgb-labels makes them of the colors.',
    ),
    'unknown color': Kind(
        'Colors that stand for no class',
        'They cannot be decoded. A picture saved as jpg, or scaled with '
        "interpolation, has such colors: restore it from the dataset's "
        'archive.',
    ),
    'colors disagree': Kind(
        'Label maps that labels_rgb contradicts',
        'Training reads labels_semantic: restore both folders from the '
        "dataset's archive, or remove labels_rgb if it is known to be wrong.",
    ),
    'values': Kind(
        'Label maps with unexpected values',
        "Restore them from the dataset's archive, or check the copy with "
        'the tool that belongs to these labels.',
    ),
    'short': Kind(
        'Sounds shorter than what is heard of them',
        'The rest is silence. Extract them from the videos again.',
    ),
    'long': Kind(
        'Sounds longer than their clips',
        'What follows the last frame is not heard.',
        is_fault=False,
    ),
    'rate': Kind(
        'Sounds of another sample rate than 16 kHz',
        'They are resampled at every reading; --prepare DEST does it once.',
        is_fault=False,
    ),
    'channels': Kind(
        'Sounds with more than two channels',
        'Mono takes the mean of all; stereo refuses them. --prepare DEST '
        'writes the mean.',
        is_fault=False,
    ),
    'stray': Kind(
        'Classes in label maps that their row does not name',
        'Such a class counts as sounding: it is trained on, prompted and '
        'scored. A few pixels are a slip of the pen, as the published data '
        'have: paint them over in a copy, or leave them.',
        is_fault=False,
    ),
    'open': Kind(
        'Sounds whose writer left their length open',
        'They are read to the end of the file; whether more should follow '
        'cannot be known.',
        is_fault=False,
    ),
    'canceled': Kind(
        'Sounds whose channels cancel each other',
        'Mono sound is their mean, and next to nothing is left of it. Turn '
        'the sign of one channel, or keep only one.',
        is_fault=False,
    ),
    'silent': Kind(
        'Sounds, or channels of them, that are silent',
        'Nothing is to be learned from them. Extract them from the videos '
        'again if they should not be.',
        is_fault=False,
    ),
    'orientation': Kind(
        'Pictures that carry an EXIF orientation',
        'It is ignored: they are read as they are stored, and so are label '
        'maps. If labels were drawn on turned pictures, turn the pixels of '
        'the files and remove the tag.',
        is_fault=False,
    ),
    'delimiter': Kind(
        'Index files with another delimiter than the published ones',
        'They are read all the same.',
        is_fault=False,
    ),
    'videos': Kind(
        'Videos or images that lend samples to several splits',
        'The index file of AVSBench-Semantic is published with 22 of them: '
        'nothing to do.',
        is_fault=False,
    ),
    'names': Kind(
        'Sounding objects that are no class names',
        'The published index file has background, off-the-screen and '
        "'h orse'. Labels are read from the label maps: nothing to do.",
        is_fault=False,
    ),
    'position': Kind(
        'Index files without positions',
        'Mono sound needs none; for stereo use the files '
        'vpo_*_data_stereo.csv.',
        is_fault=False,
    ),
    'extra': Kind(
        'Files and folders that nothing asks for',
        'They are not read.',
        is_fault=False,
    ),
}


class Finding(NamedTuple):
    """One thing that is not as expected.

    Attributes:
        kind (str): Key of :data:`KINDS`.
        file (str): The file or folder, relative to the data root.
        what (str): Description of the fault.
        row (int | None): The line of the index file that needs it.
    """

    kind: str
    file: str
    what: str
    row: int | None = None

    @property
    def remedy(self) -> str:
        """str: What to do about it."""
        return KINDS[self.kind].remedy

    @property
    def is_fault(self) -> bool:
        """bool: Whether samples are lost or wrong."""
        return KINDS[self.kind].is_fault

    def __str__(self) -> str:
        line = f' (line {self.row})' if self.row else ''
        return f'{self.file}{line}: {self.what}'


class Count(NamedTuple):
    """How much of a split there is.

    Attributes:
        name (str): Subset and split.
        clips (int): Clips in the index file.
        labels (int): Label maps that they should have.
        present (int): Those of them that are on disk.
        published_clips (int | None): Clips of the published dataset; None if
            no number is published.
        published_labels (int | None): Label maps of it.
    """

    name: str
    clips: int
    labels: int
    present: int
    published_clips: int | None = None
    published_labels: int | None = None


class Report:
    """All findings, each file once per kind.

    Args:
        title (str): Name of what was checked.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.counts: list[Count] = []
        self.summary = ''
        self._findings: dict[tuple[str, str, str], Finding] = {}

    @property
    def findings(self) -> list[Finding]:
        """list[Finding]: In the order in which they were added."""
        return list(self._findings.values())

    @property
    def num_faults(self) -> int:
        """int: Findings that are more than a note."""
        return sum(finding.is_fault for finding in self.findings)

    def add(self, findings: Iterable[Finding]) -> None:
        """Add findings; what several rows share is told once, of no row."""
        for finding in findings:
            key = finding[:3]
            earlier = self._findings.setdefault(key, finding)
            if earlier.row != finding.row:
                self._findings[key] = finding._replace(row=None)

    def text(self, limit: int | None = 20) -> str:
        """Put the report in words.

        Args:
            limit (int, optional): Findings of a kind that are told. Defaults
                to 20. None: all.

        Returns:
            str: Counts, faults, then notes, grouped by kind.
        """
        parts = [self.title]
        if self.counts:
            parts.append(self._table())
        for name, kind in sorted(
            KINDS.items(), key=lambda item: not item[1].is_fault
        ):
            found = [f for f in self.findings if f.kind == name]
            if not found:
                continue
            mark = 'FAULT' if kind.is_fault else 'note'
            lines = [f'{mark}: {kind.title} ({len(found)})']
            lines += [f'    {finding}' for finding in found[:limit]]
            if limit is not None and len(found) > limit:
                lines.append(f'    and {len(found) - limit} more')
            lines.append(f'  -> {kind.remedy}')
            parts.append('\n'.join(lines))
        notes = len(self.findings) - self.num_faults
        summary = f'{self.num_faults} fault(s), {notes} note(s)'
        parts.append('\n'.join(filter(None, (self.summary, summary))))
        return '\n\n'.join(parts)

    def _table(self) -> str:
        """Lay out the counts."""
        table = PrettyTable(
            ('', 'clips', 'published', 'label maps', 'on disk', 'published ')
        )
        table.align = 'r'
        for count in self.counts:
            # Numbers that nobody published are left open.
            cells = ['-' if cell is None else cell for cell in count]
            name, clips, labels, present, all_clips, all_labels = cells
            table.add_row(
                (name, clips, all_clips, labels, present, all_labels)
            )
        return table.get_string()

    def write_csv(self, path: str | Path) -> None:
        """Write all findings as a table."""
        with open(path, 'w', newline='', encoding='utf-8') as file:
            writer = csv.writer(file)
            writer.writerow(('level', 'kind', 'file', 'row', 'what', 'remedy'))
            for finding in self.findings:
                writer.writerow(
                    (
                        'fault' if finding.is_fault else 'note',
                        finding.kind,
                        finding.file,
                        finding.row,
                        finding.what,
                        finding.remedy,
                    )
                )
