"""Dataset folders that are either whole or not there.

Files go to a hidden sibling that calls itself unfinished; it takes the final
name at the end. What a killed run left behind is removed by the next one.
"""

import errno
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mmcpm.utils.errors import UsageError

from .files import write_json

UNFINISHED = 'UNFINISHED'
RETIRED = '-old'


class DatasetFolderError(UsageError):
    """A dataset folder cannot be written, or is not what was expected."""


@contextmanager
def explain_os_error(root: Path) -> Iterator[None]:
    """Turn the errors of the file system into what a user can do.

    Args:
        root (Path): The folder that is to be written.

    Raises:
        DatasetFolderError: Instead of an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = (
                'The disk or the quota is full: free some space, or '
                'choose a folder on another disk.'
            )
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            remedy = 'Choose a folder that you may write to.'
        elif error.errno in (errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY):
            remedy = (
                'Something of this name is in the way, perhaps from '
                'another run: choose another folder.'
            )
        else:
            remedy = 'Check the disk and the path.'
        where = f' ({error.filename})' if error.filename else ''
        raise DatasetFolderError(
            f'Cannot write {root}: {error.strerror}{where}. {remedy}'
        ) from error


@contextmanager
def replace_folder(root: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes ``root`` if all goes well.

    What is in ``root`` now is replaced: the caller decides whether it may
    be. What appears there in the meantime is not.

    Args:
        root (Path): The final folder.

    Yields:
        Path: A new, unfinished folder next to ``root``.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    remove_remains(root)
    folder = root.with_name(_partial_name(root, os.getpid()))
    retired = folder.with_name(folder.name + RETIRED)
    replacing = root.is_dir() and any(root.iterdir())
    folder.mkdir()
    try:
        (folder / UNFINISHED).touch()
        yield folder
        if replacing:
            root.rename(retired)
        try:
            folder.rename(root)
        except OSError:
            if replacing:
                retired.rename(root)
            raise
        (root / UNFINISHED).unlink()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(retired, ignore_errors=True)


def write_once(
    out_dir: str | Path,
    marker: str,
    overwrite: bool,
    refuse_other: Callable[[Path, dict], None],
    write: Callable[[Path], dict],
    check_sources: Callable[[], None] = lambda: None,
) -> tuple[dict, bool]:
    """Write a dataset, or find that it is already there.

    Args:
        out_dir (str | Path): Root of the dataset.
        marker (str): Name of the program's JSON file in it.
        overwrite (bool): Whether what the program wrote is to be replaced.
        refuse_other (Callable): Takes the root and the content of the marker,
            and raises an error if that is another dataset.
        write (Callable): Writes into a folder and gives the content of the
            marker, to which the number of ``files`` is added.
        check_sources (Callable): Runs before anything is written.

    Returns:
        tuple[dict, bool]: Content of the marker, and whether the dataset was
        written now (or else was there).

    Raises:
        DatasetFolderError: If the folder holds something else, has lost
            files, or cannot be written.
    """
    # A linked data folder: write where the link points, keep the link.
    root = Path(os.path.realpath(out_dir))
    with explain_os_error(root):
        if root.parent.is_dir():
            remove_remains(root)
        found = _read_finished(root, marker, overwrite)
    if found is not None:
        refuse_other(root, found)
        if (present := _count_files(root)) < found['files']:
            raise DatasetFolderError(
                f'{root} has lost files: {present} of {found["files"]} are '
                'left. Write them again with --overwrite.'
            )
        return found, False
    check_sources()
    with explain_os_error(root), replace_folder(root) as folder:
        content = write(folder)
        # In place of the marker, the folder still holds the file that calls
        # it unfinished.
        content['files'] = _count_files(folder)
        write_json(folder / marker, content)
    return content, True


def _read_finished(root: Path, marker: str, overwrite: bool) -> dict | None:
    """Read what a program has noted in a folder; None if it is to write."""
    if not root.exists() or root.is_dir() and not any(root.iterdir()):
        return None
    path = root / marker
    if not path.is_file():
        raise DatasetFolderError(
            f'{root} exists and was not written by this program (it has no '
            f'{marker}), so it is left alone. Choose another folder.'
        )
    if overwrite:
        return None
    try:
        return {'files': 0, **json.loads(path.read_text())}
    except (ValueError, TypeError) as error:
        raise DatasetFolderError(
            f'{path} is not what this program wrote ({error!r}). Write the '
            'dataset again with --overwrite.'
        ) from error


def _count_files(root: Path) -> int:
    """Count the files and links under a folder."""
    return sum(len(names) for _, _, names in os.walk(root))


def remove_remains(root: Path) -> list[Path]:
    """Remove what interrupted runs for ``root`` left behind.

    Only folders that call themselves unfinished, and whose process on this
    computer has ended, are removed. A folder that was about to be replaced
    gets its name back if the new one never took it.

    Args:
        root (Path): The final folder.

    Returns:
        list[Path]: The folders that were removed or renamed.
    """
    start = _partial_name(root, '')
    removed = []
    for folder in sorted(root.parent.iterdir()):
        process = folder.name.removeprefix(start).removesuffix(RETIRED)
        if (
            not folder.name.startswith(start)
            or not process.isdecimal()
            or _is_running(int(process))
        ):
            continue
        is_retired = folder.name.endswith(RETIRED)
        if is_retired and not root.exists():
            folder.rename(root)
        elif is_retired or (folder / UNFINISHED).is_file():
            _remove(folder)
        else:
            continue
        removed.append(folder)
    return removed


def _remove(folder: Path) -> None:
    """Remove a folder that a process may still be writing a last file to."""
    for _ in range(10):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)
    shutil.rmtree(folder)


def _partial_name(root: Path, process: int | str) -> str:
    """Name of the unfinished folder of a process on this computer."""
    return f'.{root.name}.partial-{socket.gethostname()}-{process}'


def _is_running(process: int) -> bool:
    """Check whether a process exists."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
