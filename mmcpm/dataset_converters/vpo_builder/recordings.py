"""The labeled recordings: their list, and what is in the files."""

import functools
import hashlib
import math
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from mmcpm.datasets.errors import (
    AudioReadError,
    DatasetIndexError,
    DatasetNotFoundError,
)
from mmcpm.datasets.metadata.index_table import (
    find_columns,
    read_table,
    read_text,
)
from mmcpm.datasets.transforms.audio_loading import (
    open_sound,
    read_sound,
    resampled_length,
)
from mmcpm.datasets.transforms.sound_sources import read_center
from mmcpm.datasets.vpo import AUDIO_SUFFIXES

from ..sounding_scenes.voices import SAMPLE_RATE

COLUMNS = ('file', 'class')
LIST_REMEDY = (
    'Expected a comma-separated file with the columns file (in the folder of '
    'the recordings), class and, where wanted, start (seconds) and group '
    '(recordings of one group come to one split).'
)
# A peak below the last bit of a 16-bit file, which would be written as zeros.
SILENCE = 0.5 / 32768


class Clip(NamedTuple):
    """A part of a recording.

    Attributes:
        name (str): Name of its file in the dataset, without suffix.
        path (Path): The file of the recording.
        label (str): Label of the recording.
        start (float | None): Second at which the clip begins; None for the
            middle of the recording.
        group (str): Recordings of one group come to one split; '' for none.
        place (str): File and line of the list, for messages.
        content (str): Digest of the file; '' until it was read.
    """

    name: str
    path: Path
    label: str
    start: float | None
    group: str
    place: str
    content: str = ''


def read_clips(list_file: Path, folder: Path) -> list[Clip]:
    """Read the list of the recordings.

    Args:
        list_file (Path): A csv file.
        folder (Path): Folder of the recordings.

    Returns:
        list[Clip]: In the order of the file; a missing one has its suffix
        as it is listed.

    Raises:
        DatasetNotFoundError: If the list or the folder is missing.
        DatasetIndexError: If a column is missing, or a row holds a value
            that cannot be or repeats another.
    """
    if not list_file.is_file():
        raise DatasetNotFoundError(f'No file {list_file}. {LIST_REMEDY}')
    if not folder.is_dir():
        raise DatasetNotFoundError(
            f'No folder {folder}. Expected the one that the files of '
            f'{list_file} lie in.'
        )
    header, *rows = read_table(read_text(str(list_file), None), str(list_file))
    columns = find_columns(header.cells, COLUMNS, str(list_file), LIST_REMEDY)
    more = {
        name: header.cells.index(name)
        for name in ('start', 'group')
        if name in header.cells
    }
    clips, earlier = [], {}
    for row in rows:
        place = f'{list_file}, line {row.line}'
        file, label = (row.cells[column] for column in columns)
        start, group = (
            row.cells[more[name]] if name in more else ''
            for name in ('start', 'group')
        )
        parts = Path(file).parts
        if not label or not parts or file[0] == '/' or '..' in parts:
            raise DatasetIndexError(
                f'{place}: file {file!r} of class {label!r}; expected a path '
                f'inside {folder} and what is heard. Correct the row.'
            )
        second = _seconds(start, place)
        name = file.removesuffix(Path(file).suffix)
        if Path(file).suffix.lower() not in AUDIO_SUFFIXES:
            name = file
        # VPODataset takes a name that ends in '.wav' for a whole file name.
        name = '_'.join(Path(name).parts).replace('\\', '_').replace('.', '_')
        if second is not None:
            name += f'_{round(1000 * second):06}'
        if name in earlier:
            raise DatasetIndexError(
                f'{place}: the clip {name!r} stands in {earlier[name]} '
                'already. Remove the row, or rename one of the files.'
            )
        earlier[name] = f'line {row.line}'
        clips.append(
            Clip(name, _find(folder, file), label, second, group, place)
        )
    return clips


def _seconds(text: str, place: str) -> float | None:
    """Read a start; nothing means the middle."""
    if not text:
        return None
    try:
        second = float(text)
    except ValueError:
        second = math.nan
    if not 0 <= second < math.inf:
        raise DatasetIndexError(
            f'{place}: start {text!r}; expected seconds from 0 on, or nothing '
            'for the middle of the recording. Correct the row.'
        )
    return second


def _find(folder: Path, file: str) -> Path:
    """Find a file that may be listed without its suffix."""
    path = folder / file
    if path.suffix.lower() in AUDIO_SUFFIXES or path.is_file():
        return path
    guesses = (folder / (file + suffix) for suffix in AUDIO_SUFFIXES)
    return next((guess for guess in guesses if guess.is_file()), path)


def check_recordings(
    clips: Iterable[Clip], labels: Collection[str], seconds: float
) -> list[Clip]:
    """Read the recordings that are of use, and see that all can be used.

    Args:
        clips (Iterable[Clip]): The clips.
        labels (Collection[str]): Labels that are of use.
        seconds (float): Length of a clip.

    Returns:
        list[Clip]: Those with one of the labels, by name, with their digest.

    Raises:
        AudioReadError: Names the files that cannot be used, with their rows.
    """
    # Clips of one recording follow each other: its digest is made once.
    wanted = sorted(
        (clip for clip in clips if clip.label in labels),
        key=lambda clip: (str(clip.path), clip.name),
    )
    checked, faults = [], []
    _digest.cache_clear()
    for clip in tqdm(wanted, 'Reading recordings', unit='clip', disable=None):
        try:
            cut_clip(clip, seconds)
            content = _digest(clip.path)
        except (OSError, ValueError) as error:
            reason = getattr(error, 'strerror', None) or error
            faults.append(f'{clip.place}: {clip.path}: {reason}')
            continue
        checked.append(clip._replace(content=content))
    if faults:
        listed = '\n  '.join(faults[:5])
        more = f'\n  and {len(faults) - 5} more' if len(faults) > 5 else ''
        raise AudioReadError(
            f'{len(faults)} of {len(wanted)} clips cannot be used:\n'
            f'  {listed}{more}\nExpected whole wav, flac, ogg or mp3 files '
            'that can be heard from start on. Restore the files, or correct '
            'or remove the rows.'
        )
    return sorted(checked, key=lambda clip: clip.name)


def cut_clip(clip: Clip, seconds: float) -> np.ndarray:
    """Cut a clip out of its recording.

    Args:
        clip (Clip): The clip.
        seconds (float): Length of the clip; one that ends before is shorter.

    Returns:
        np.ndarray: Mono waveform at 16 kHz, float32 ``[samples]``.

    Raises:
        OSError: If the recording cannot be read.
        ValueError: If it is no whole sound, or nothing is heard.
    """
    length = round(seconds * SAMPLE_RATE)
    with open_sound(str(clip.path)) as sound:
        whole = resampled_length(sound, SAMPLE_RATE)
        if clip.start is None:
            window = read_center(sound, SAMPLE_RATE, 'mono', length)
        else:
            first = round(clip.start * SAMPLE_RATE)
            window = read_sound(sound, SAMPLE_RATE, 'mono', first, length)
    if not window.shape[1]:
        raise ValueError(
            f'start is {clip.start} s, the recording ends after '
            f'{whole / SAMPLE_RATE:.2f} s'
        )
    if np.abs(window).max() < SILENCE:
        raise ValueError('nothing is heard in the clip')
    return window[0]


@functools.lru_cache(maxsize=1)
def _digest(path: Path) -> str:
    """Make a digest of a file."""
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()
