"""Which files of a plain folder belong together: frame, label and sound.

Pure functions: names of files in, records and faults out.
"""

import os.path as osp
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import mmengine.fileio as fileio

from ..errors import DatasetNotFoundError, why

PARTS = ('frames', 'labels', 'audio')
SUFFIXES = {
    'frames': ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp'),
    # Formats that keep every value.
    'labels': ('.png', '.bmp', '.tif', '.tiff'),
    'audio': ('.wav', '.flac', '.ogg', '.mp3'),
}
# What programs that show folders leave behind.
LEFTOVERS = ('Thumbs.db', 'desktop.ini')
REMEDIES = {
    'format': 'Convert these files, or take them out of the folder.',
    'unpaired': 'Frame, label and sound of a sample have the same name: '
    'frames/x.jpg, labels/x.png, audio/x.wav; in a clip frames/clip/0.jpg, '
    'labels/clip/0.png and audio/clip.wav or audio/clip/0.wav. Add what is '
    'missing (a label of zeros where nothing sounds), or take the rest out.',
    'ambiguous': 'Keep one of the files, or rename the others with their '
    'frame and label.',
    'numbering': 'Restore or renumber the frames and their labels. Where the '
    'numbers tell the time, set frames_per_second of the dataset (frame n '
    'sounds at n / frames_per_second seconds), or give every frame a sound '
    'of its own, audio/<clip>/<frame>.wav.',
    'extra': 'Nothing reads them.',
}


class FolderFrame(NamedTuple):
    """A frame with its label and its sound; paths are under the split.

    Attributes:
        uid (str): The clip; of a single frame, its name.
        name (str): The frame within the clip; '0' for a single one.
        frame (str): Path of the picture.
        label (str): Path of the label map.
        sound (str): Path of the sound.
        start (float): When the frame is shown, in seconds of the sound.
    """

    uid: str
    name: str
    frame: str
    label: str
    sound: str
    start: float


class Fault(NamedTuple):
    """A file that does not fit the others.

    Attributes:
        kind (str): Key of :data:`REMEDIES`.
        file (str): Its path under the split.
        what (str): What is the matter with it.
    """

    kind: str
    file: str
    what: str


def list_files(folder: str, backend_args: dict | None = None) -> list[str]:
    """List the files below a folder.

    Args:
        folder (str): Path or address.
        backend_args (dict, optional): Arguments of the ``mmengine.fileio``
            backend.

    Returns:
        list[str]: Relative paths, sorted; hidden files are left out.

    Raises:
        DatasetNotFoundError: If there is no such folder, or the storage
            cannot list it.
    """
    try:
        found = fileio.list_dir_or_file(
            folder, list_dir=False, recursive=True, backend_args=backend_args
        )
        return sorted(
            path
            for path in found
            if not any(part.startswith('.') for part in path.split('/'))
            and osp.basename(path) not in LEFTOVERS
        )
    except (OSError, NotImplementedError, AttributeError) as error:
        raise DatasetNotFoundError(
            f'Cannot list the folder {folder}: {why(error)}. Expected '
            f'<data_root>/<split>/ with the folders {", ".join(PARTS)}. Set '
            'the data root with --data-root DIR, or data_root in the config.'
        ) from error


def pair_files(
    files: dict[str, list[str]], frames_per_second: float | None = None
) -> tuple[list[FolderFrame], list[Fault]]:
    """Find the label and the sound of every frame.

    Args:
        files (dict[str, list[str]]): Paths by part, see :data:`PARTS`, each
            relative to its folder.
        frames_per_second (float, optional): Rate that the numbers of frames
            count in, where one sound belongs to a whole clip: frame ``n`` is
            shown at ``n / frames_per_second``. Defaults to None: one frame
            per second, numbered without gaps from 0 or 1.

    Returns:
        tuple[list[FolderFrame], list[Fault]]: The complete samples by clip
        and number, and what does not fit.
    """
    faults: list[Fault] = []
    frames, labels, sounds = (
        _by_stem(part, files[part], faults) for part in PARTS
    )
    clips: dict[str, list[str]] = defaultdict(list)
    for stem in frames:
        clips[osp.dirname(stem) or stem].append(stem)
    samples, used = [], set()
    for uid in sorted(clips):
        stems = sorted(clips[uid], key=_natural)
        if uid in frames and len(stems) > 1:
            what = f'so may the frames of the folder frames/{uid} be meant'
            faults.append(Fault('ambiguous', frames[uid], what))
            continue
        shared = [s for s in stems if s != uid and s not in sounds]
        starts = {}
        if uid in sounds and shared:
            starts, gaps = _frame_times(stems, frames_per_second)
            where = f'frames/{uid}'
            faults += [Fault('numbering', where, gap) for gap in gaps]
        for stem in stems:
            found = {s for s in (stem, uid) if s in sounds}
            used |= found
            if stem not in labels:
                what = f'no label labels/{stem}.png'
                faults.append(Fault('unpaired', frames[stem], what))
            if not found:
                inside = '' if stem == uid else f' nor audio/{uid}.wav'
                what = f'no sound audio/{stem}.wav{inside}'
                faults.append(Fault('unpaired', frames[stem], what))
            elif len(found) > 1:
                listed = ' and '.join(sounds[s] for s in sorted(found))
                what = f'its sound may be {listed}'
                faults.append(Fault('ambiguous', frames[stem], what))
            elif stem in labels:
                name = '0' if stem == uid else osp.basename(stem)
                (sound,) = found
                samples.append(
                    FolderFrame(
                        *(uid, name, frames[stem], labels[stem]),
                        sound=sounds[sound],
                        start=0.0 if sound == stem else starts.get(stem, 0.0),
                    )
                )
    for stem in sorted(labels.keys() - frames.keys()):
        what = f'no frame frames/{stem}.jpg'
        faults.append(Fault('unpaired', labels[stem], what))
    for stem in sorted(sounds.keys() - used):
        faults.append(Fault('extra', sounds[stem], 'no frame of that name'))
    return samples, faults


def _by_stem(
    part: str, paths: Iterable[str], faults: list[Fault]
) -> dict[str, str]:
    """Index files by their path without suffix; note what cannot be one."""
    found: dict[str, str] = {}
    for path in paths:
        stem, suffix = osp.splitext(path)
        whole = f'{part}/{path}'
        if suffix.lower() not in SUFFIXES[part]:
            what = f'expected a file of {", ".join(SUFFIXES[part])}'
            faults.append(Fault('format', whole, what))
        elif stem in found:
            what = f'{found[stem]} has the same name'
            faults.append(Fault('ambiguous', whole, what))
        else:
            found[stem] = whole
    return found


def _number(stem: str) -> int | None:
    """Read the number at the end of a name, as in '12' or 'img_0012'."""
    digits = re.search(r'[0-9]+$', osp.basename(stem))
    return int(digits[0]) if digits else None


def _natural(stem: str) -> tuple[int, str]:
    """Give what frames of a clip are sorted by."""
    number = _number(stem)
    return (-1 if number is None else number, stem)


def _frame_times(
    stems: list[str], frames_per_second: float | None
) -> tuple[dict[str, float], list[str]]:
    """Tell when the frames of a clip are shown, and what is unclear."""
    numbers = [_number(stem) for stem in stems]
    if None in numbers:
        name = osp.basename(stems[numbers.index(None)])
        return {}, [f'no number at the end of the name {name!r} tells when']
    if repeated := {n for n in numbers if numbers.count(n) > 1}:
        return {}, [f'several frames have the number {min(repeated)}']
    if frames_per_second is not None:
        times = [number / frames_per_second for number in numbers]
        return dict(zip(stems, times, strict=True)), []
    first = numbers[0]
    missing = sorted({*range(min(first, 1), numbers[-1])} - {*numbers})
    if missing:
        listed = ', '.join(map(str, missing[:5]))
        more = ', ...' if len(missing) > 5 else ''
        return {}, [
            f'numbered {first} to {numbers[-1]}, but frame {listed}{more} is '
            'missing, so that the second of each frame is not known'
        ]
    return {
        stem: float(number - first)
        for stem, number in zip(stems, numbers, strict=True)
    }, []
