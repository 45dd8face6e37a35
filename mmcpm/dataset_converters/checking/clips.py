"""Checks of the files that rows of an index file ask for."""

import functools
import os
import os.path as osp
from collections.abc import Callable, Iterable, Mapping, Sequence

from mmcpm.datasets.errors import FrameReadError, why
from mmcpm.datasets.transforms import LoadFrameFromFile

from ..common.parallel import map_clips
from .clip_files import ClipFiles, count_groups
from .images import Header, read_header
from .labels import LabelChecker
from .report import Finding, Report
from .sounds import check_sound

# What programs that show folders leave behind.
LEFTOVERS = ('.DS_Store', 'Thumbs.db', 'desktop.ini')


def check_clips(
    report: Report,
    root: str,
    clips: Sequence[ClipFiles],
    labels: LabelChecker,
    *,
    deep: bool,
    workers: int | None,
    published: Mapping[str, tuple[int, int]] | None = None,
    folders: Iterable[str] = (),
    is_known: Callable[[str], bool] = bool,
) -> None:
    """Check the files of all clips, count them and look for others.

    Args:
        report (Report): Takes what is found.
        root (str): The data root.
        clips (Sequence[ClipFiles]): The clips.
        labels (LabelChecker): Checks their label maps.
        deep (bool): Whether to decode every file.
        workers (int, optional): See :func:`map_clips`.
        published (Mapping, optional): See :func:`count_groups`.
        folders (Iterable[str]): See :func:`find_extra`.
        is_known (Callable): See :func:`find_extra`.
    """
    check = functools.partial(check_clip, root, labels, deep)
    numbers = []
    for present, findings in map_clips(check, clips, 'Checking', workers):
        numbers.append(present)
        report.add(findings)
    report.counts = count_groups(clips, numbers, published or {})
    paths = [path for clip in clips for path in clip.paths]
    report.add(find_extra(root, folders, paths, is_known))


def check_clip(
    root: str, labels: LabelChecker, deep: bool, clip: ClipFiles
) -> tuple[int, list[Finding]]:
    """Check the files of one clip.

    Args:
        root (str): The data root.
        labels (LabelChecker): Checks its label maps.
        deep (bool): Whether to decode every file.
        clip (ClipFiles): The clip.

    Returns:
        tuple[int, list[Finding]]: How many of its label maps are on disk, and
        the findings.
    """
    findings, present, folders = [], 0, {}

    def look(path: str, check: functools.partial) -> Header | None:
        """Check one file, unless its folder is missing."""
        nonlocal findings
        folder = osp.dirname(path)
        if folder not in folders:
            folders[folder] = find_gap(root, folder)
        if gap := folders[folder]:
            findings.append(Finding(*gap, clip.row))
            return None
        try:
            header, found = check(osp.join(root, path))
        except FileNotFoundError:
            findings.append(Finding(*_missing(root, path), clip.row))
            return None
        findings += [Finding(k, path, what, clip.row) for k, what in found]
        return header

    for frame, label in clip.frames:
        frame_header = look(frame, functools.partial(_check_frame, deep=deep))
        if label is None:
            continue
        label_header = look(label, functools.partial(labels, deep=deep))
        present += osp.isfile(osp.join(root, label))
        if not frame_header or not label_header:
            continue
        if frame_header[:2] != label_header[:2]:
            findings.append(
                Finding(
                    'size',
                    label,
                    f'{label_header.height} x {label_header.width} (height x '
                    f'width), its frame {frame_header.height} x '
                    f'{frame_header.width}'
                    + _turned(frame_header, label_header),
                    clip.row,
                )
            )
    if deep and not any(f.kind in ('label', 'values') for f in findings):
        findings += labels.check_sources(root, clip)
    for sound in clip.sounds:
        look(sound, functools.partial(_check_sound, clip, deep))
    return present, list(dict.fromkeys(findings))


def _turned(frame: Header, label: Header) -> str:
    """Tell of an EXIF orientation where height and width are swapped."""
    turned = {frame.orientation, label.orientation} - {1}
    if not turned or frame[:2] != label[1::-1]:
        return ''
    return f'; an EXIF orientation ({min(turned)}) is ignored'


def _check_frame(
    path: str, deep: bool
) -> tuple[Header | None, list[tuple[str, str]]]:
    """Check a frame."""
    try:
        header = read_header(path)
        if deep:
            LoadFrameFromFile().transform({'img_path': path})
    except FileNotFoundError:
        raise
    except FrameReadError as error:
        return None, [('frame', why(error.__cause__))]
    except (OSError, ValueError) as error:
        return None, [('frame', why(error))]
    return header, header.findings


def _check_sound(
    clip: ClipFiles, deep: bool, path: str
) -> tuple[None, list[tuple[str, str]]]:
    """Check a sound."""
    return None, check_sound(path, clip.seconds, deep, clip.at_least)


def find_gap(root: str, folder: str) -> tuple[str, str, str] | None:
    """Look for the first folder of a path that is not there.

    Args:
        root (str): The data root.
        folder (str): Path of the folder in it.

    Returns:
        tuple[str, str, str] | None: The start of a finding, or None if the
        folder exists.
    """
    if osp.isdir(osp.join(root, folder)):
        return None
    above = find_gap(root, osp.dirname(folder)) if folder else None
    return above or _missing(root, folder, 'folder')


def _missing(root: str, path: str, kind: str = 'file') -> tuple[str, str, str]:
    """Tell why a file or folder cannot be found."""
    full = osp.join(root, path)
    if osp.islink(full):
        return 'link', path, f'points to {os.readlink(full)}'
    if osp.lexists(full):
        return 'missing', path, f'no {kind}, but something of that name'
    return 'missing', path, f'no such {kind}'


def find_extra(
    root: str,
    folders: Iterable[str],
    expected: Iterable[str],
    is_known: Callable[[str], bool],
) -> list[Finding]:
    """Look for what no row asks for.

    Args:
        root (str): The data root.
        folders (Iterable[str]): Folders to look in; they need not exist.
        expected (Iterable[str]): All files that are asked for.
        is_known (Callable): Whether files and folders of this name are
            there for another purpose.

    Returns:
        list[Finding]: One for each file, and one for each folder in which
        nothing is asked for.
    """
    files, above = set(expected), set()
    for path in files:
        while (path := osp.dirname(path)) and path not in above:
            above.add(path)
    findings, waiting = [], [f for f in folders if f in above]
    while waiting:
        folder = waiting.pop()
        try:
            entries = sorted(os.scandir(osp.join(root, folder)), key=str)
        except OSError:
            # Missing or no folder: told where its files are looked for.
            continue
        for entry in entries:
            path = osp.join(folder, entry.name)
            if path in above:
                waiting.append(path)
            elif not (
                path in files or is_known(entry.name) or _is_leftover(entry)
            ):
                findings.append(Finding('extra', path, _describe(entry)))
    return findings


def _is_leftover(entry: os.DirEntry) -> bool:
    """Tell whether a file is left behind by a program that shows folders."""
    return entry.name in LEFTOVERS or entry.name.startswith('._')


def _describe(entry: os.DirEntry) -> str:
    """Say what an entry of a folder is."""
    if entry.is_dir():
        return f'a folder with {len(os.listdir(entry.path))} entries'
    if not entry.is_file():
        return 'a broken link' if entry.is_symlink() else 'no regular file'
    return f'{entry.stat().st_size} bytes'
