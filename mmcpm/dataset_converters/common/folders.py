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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmcpm.utils.errors import UsageError

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


def read_finished(root: Path, marker: str, overwrite: bool) -> dict | None:
    """Read what a program has noted in a folder that it finished.

    Args:
        root (Path): The folder.
        marker (str): Name of the program's JSON file in it.
        overwrite (bool): Whether what the program wrote is to be replaced.

    Returns:
        dict, optional: Content of that file; None if the dataset is to be
        written: there is no folder, an empty one, or one to replace.

    Raises:
        DatasetFolderError: If the folder holds something else, or the file
            is damaged.
    """
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


def count_files(root: Path) -> int:
    """Count the files and links under a folder."""
    return sum(len(names) for _, _, names in os.walk(root))


def check_complete(root: Path, files: int) -> None:
    """Refuse a folder that has lost files since it was finished.

    Args:
        root (Path): The folder.
        files (int): Number of files that were written, without the marker.

    Raises:
        DatasetFolderError: If there are fewer.
    """
    if (present := count_files(root)) < files:
        raise DatasetFolderError(
            f'{root} has lost files: {present} of {files} are left. Write '
            'them again with --overwrite.'
        )


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
