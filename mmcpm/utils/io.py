"""File names made of sample ids, and files written whole or not at all."""

import os
import tempfile
from pathlib import Path

from .errors import UsageError

# Bytes that have to have room where something is going to be written.
PROBE_SIZE = 1 << 16


def sample_file(directory: str | Path, sample_id: str, suffix: str) -> Path:
    """Name the file of a sample: ``<directory>/<uid>/<frame><suffix>``.

    Args:
        directory (str | Path): Folder the file has to lie in.
        sample_id (str): For example ``'-apT0tfo6U_16000_26000/3'``.
        suffix (str): For example ``'.png'``.

    Returns:
        Path: The file's path. Different ids have different paths.

    Raises:
        ValueError: If the id is no relative path below the folder.
    """
    parts = sample_id.split('/')
    if any(
        part in ('', '.', '..') or '\\' in part or '\0' in part
        for part in parts
    ):
        raise ValueError(
            f'sample_id {sample_id!r} cannot name a file: expected names '
            "joined by '/', such as 'clip/0', without empty parts, '.', '..' "
            'or backslashes.'
        )
    return Path(directory, *parts[:-1], parts[-1] + suffix)


def write_whole(path: str | Path, content: bytes) -> None:
    """Write a file under a temporary name, then rename it.

    A reader, another rank, or a run that was interrupted never leaves or
    sees half a file.

    Args:
        path (str | Path): The file; missing folders are made.
        content (bytes): What it holds.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(
        dir=path.parent, prefix='.', suffix='.incomplete'
    )
    try:
        with os.fdopen(handle, 'wb') as file:
            file.write(content)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)  # mkstemp makes private files.
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def ensure_writable(directory: str | Path, option: str) -> None:
    """Make a folder and see whether files can be written there.

    Args:
        directory (str | Path): The folder.
        option (str): The option that names it, for the message.

    Raises:
        UsageError: If not.
    """
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(bytes(PROBE_SIZE))
    except OSError as error:
        raise UsageError(
            f'cannot write to {Path(directory).absolute()} '
            f'({error.strerror}). Choose another folder with {option}'
        ) from error
