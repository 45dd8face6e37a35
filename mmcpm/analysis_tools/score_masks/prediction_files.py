"""Which file of a folder of predictions belongs to which frame.

Layouts of whole folders; ``<name>`` is the last part of a clip's id, which in
S4 is ``<category>/<name>``:

- ``<clip>/<frame>``: what ``tools/test.py --out`` writes. Frames count from 0.
- ``<clip>/<name>_<frame>``: what the published codes of AVSBench (TPAVI) and
  AVSegFormer save, from 0; the masks of AVSBench-Object count from 1.
- ``<name>/<name>_<frame>`` and ``<name>_<frame>``: the same without folders.
- ``<clip>``: one file per clip, where clips have one frame (VPO).
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mmcpm.utils.errors import UsageError, shorten

SUFFIXES = ('.png', '.npy')
# Frames per clip of the published AVSS tensors: shorter clips are padded.
PADDED_LENGTH = 10


class Layout(NamedTuple):
    """How files are called.

    Attributes:
        name (str): Pattern, for people.
        first (int): Number of a clip's first frame.
    """

    name: str
    first: int


LAYOUTS = (
    Layout('<clip>/<frame>', 0),
    Layout('<clip>/<frame>', 1),
    Layout('<clip>/<name>_<frame>', 0),
    Layout('<clip>/<name>_<frame>', 1),
    Layout('<name>/<name>_<frame>', 0),
    Layout('<name>/<name>_<frame>', 1),
    Layout('<name>_<frame>', 0),
    Layout('<name>_<frame>', 1),
    Layout('<clip>', 0),
)


class Matches(NamedTuple):
    """Files of a folder, and the frames that they are predictions of.

    Attributes:
        layout (Layout): How the files are called.
        files (dict[str, Path]): File of each frame, by ``sample_id``.
        missing (list[str]): Frames without a file.
        unknown (list[str]): Files of no frame, relative to the folder.
        padding (list[str]): Files of the frames that the published code
            appends to clips of five, relative to the folder.
    """

    layout: Layout
    files: dict[str, Path]
    missing: list[str]
    unknown: list[str]
    padding: list[str]


def file_name(layout: Layout, clip: str, frame: str) -> str | None:
    """Name the file of a frame, without its suffix.

    Args:
        layout (Layout): How files are called.
        clip (str): Id of the clip.
        frame (str): The part of the ``sample_id`` after it.

    Returns:
        str | None: Name relative to the folder; None if the layout has none
        for this frame.
    """
    if layout.first:
        if not frame.isdecimal():
            return None
        frame = str(int(frame) + layout.first)
    elif layout.name == '<clip>' and frame != '0':
        return None
    values = {
        '<clip>': clip,
        '<name>': clip.rpartition('/')[2],
        '<frame>': frame,
    }
    name = layout.name
    for key, value in values.items():
        # Ids hold no brackets that a later key could be found in.
        name = name.replace(key, value)
    return name


def list_predictions(folder: str | Path) -> dict[str, list[str]]:
    """List the files that may be predictions.

    Args:
        folder (str | Path): Folder with any folders in it.

    Returns:
        dict[str, list[str]]: Paths relative to it, by the path without
        suffix.

    Raises:
        UsageError: If it is no folder, or there is no PNG or NumPy file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        kind = 'it is a file' if folder.exists() else 'nothing is there'
        raise UsageError(
            f'PREDICTIONS is not a folder: {folder.absolute()} ({kind}). '
            'Expected one with label maps or masks, such as tools/test.py '
            '--out writes'
        )
    found: dict[str, list[str]] = {}
    for place, _, names in os.walk(folder, followlinks=True):
        for name in names:
            if name.endswith(SUFFIXES) and not name.startswith('.'):
                path = Path(place, name).relative_to(folder)
                found.setdefault(path.with_suffix('').as_posix(), []).append(
                    path.as_posix()
                )
    if not found:
        raise UsageError(
            f'{folder.absolute()} holds no file of predictions: expected '
            f'{" or ".join(SUFFIXES)} files, in folders of clips or not'
        )
    return found


def padding_names(layout: Layout, lengths: Mapping[str, int]) -> set[str]:
    """Name the files of frames that clips were padded with.

    Args:
        layout (Layout): How files are called.
        lengths (Mapping[str, int]): Frames of each clip.

    Returns:
        set[str]: Names without suffix.
    """
    names = {
        file_name(layout, clip, str(frame))
        for clip, length in lengths.items()
        for frame in range(length, PADDED_LENGTH)
    }
    return names - {None}


def match_files(
    folder: str | Path,
    sample_ids: Sequence[str],
    *,
    padded: bool = False,
    first_frame: int | None = None,
) -> Matches:
    """Find the prediction of each frame.

    The layout is the one by which most files are those of frames. It is that
    of the whole folder; files of another one are unknown.

    Args:
        folder (str | Path): Folder of the predictions.
        sample_ids (Sequence[str]): Frames of the dataset, ``<clip>/<frame>``.
        padded (bool): Whether published codes save frames that do not exist,
            with which they pad clips to ten: AVSS.
        first_frame (int, optional): Number of the first frame in the names
            of the files, 0 or 1. Defaults to None: found out.

    Returns:
        Matches: Files, and what does not fit.

    Raises:
        UsageError: If there are no predictions, none of this dataset, two
            files for a frame, or names that leave open which frame is the
            first.
    """
    found = list_predictions(folder)
    frames = [sample_id.rpartition('/')[::2] for sample_id in sample_ids]
    lengths = Counter(clip for clip, _ in frames) if padded else {}
    best = _choose_layout(found, frames, lengths, first_frame)
    if best is None:
        raise UsageError(
            f'{Path(folder).absolute()}: none of '
            f'{sum(map(len, found.values()))} files is called like a frame of '
            f'the dataset. There are: {shorten(sorted(found))}. Frames are: '
            f'{shorten(list(sample_ids))}. Expected files such as '
            f'{sample_ids[0]}.png'
        )
    layout, names = best
    twice = [name for name in names if len(found.get(name, ())) > 1]
    if twice:
        raise UsageError(
            f'{Path(folder).absolute()}: {len(twice)} frames have two files '
            f'each: {shorten([", ".join(found[name]) for name in twice])}. '
            'Leave one'
        )
    padding = padding_names(layout, lengths) - set(names)
    return Matches(
        layout,
        files={
            sample_id: Path(folder, found[name][0])
            for name, sample_id in names.items()
            if name in found
        },
        missing=[names[name] for name in names if name not in found],
        unknown=_paths(found, set(found) - set(names) - padding),
        padding=_paths(found, set(found) & padding),
    )


def _paths(found: dict[str, list[str]], names: Iterable[str]) -> list[str]:
    """Files of names without suffix, sorted."""
    return sorted(path for name in names for path in found[name])


def _choose_layout(
    found: Mapping[str, list[str]],
    frames: Sequence[tuple[str, str]],
    lengths: Mapping[str, int],
    first_frame: int | None,
) -> tuple[Layout, dict[str, str]] | None:
    """Choose the layout that most files follow, with the frames it names."""
    choices = []
    for layout in LAYOUTS:
        if first_frame not in (None, layout.first):
            continue
        names: dict[str, list[str]] = {}
        for clip, frame in frames:
            if name := file_name(layout, clip, frame):
                names.setdefault(name, []).append(f'{clip}/{frame}')
        # A name that several frames would have tells none of them.
        single = {n: ids[0] for n, ids in names.items() if len(ids) == 1}
        hits = len(found.keys() & single.keys())
        known = len(
            found.keys() & (single.keys() | padding_names(layout, lengths))
        )
        if hits:
            choices.append(((hits, known), layout, single))
    if not choices:
        return None
    top = max(score for score, *_ in choices)
    best = [choice for choice in choices if choice[0] == top]
    if len({layout.first for _, layout, _ in best}) > 1:
        raise UsageError(
            f'the names of {top[0]} files fit frames counted from 0 as well '
            f'as from 1: {shorten(sorted(found))}. Say which with '
            '--first-frame 0 or --first-frame 1'
        )
    return best[0][1:]
