"""File names made of sample ids, and files written whole or not at all."""

import contextlib
import os
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path

from .errors import UsageError

# Part of the names of files that are not yet whole.
PARTIAL = '.partial-'
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


class PartialFile:
    """Name of a file until it is whole.

    A program writes to ``path``, hidden beside its final place. Then it calls
    :meth:`finish`, or, if it was interrupted and what is there can be used,
    :meth:`keep`, or :meth:`discard`. Only a whole file gets the final name;
    one that had it before stays until then.

    Args:
        final (str | Path): Path of the whole file; missing folders are made.

    Attributes:
        path (Path): Where to write.
    """

    def __init__(self, final: str | Path) -> None:
        self.final = Path(final)
        self.final.parent.mkdir(parents=True, exist_ok=True)
        name = f'.{self.final.stem}{PARTIAL}{uuid.uuid4().hex[:12]}'
        self.path = self.final.with_name(name + self.final.suffix)

    @property
    def partial(self) -> Path:
        """Path: What :meth:`keep` calls the file."""
        return self.final.with_name(
            f'{self.final.stem}.partial{self.final.suffix}'
        )

    def finish(self) -> Path:
        """Give the file its name.

        Returns:
            Path: The name.
        """
        os.replace(self.path, self.final)
        with contextlib.suppress(OSError):
            # Left by an earlier run that was interrupted.
            self.partial.unlink(missing_ok=True)
        return self.final

    def keep(self) -> Path:
        """Give the file a name that tells that it is not whole.

        Returns:
            Path: The name, such as ``out.partial.mp4``.
        """
        os.replace(self.path, self.partial)
        return self.partial

    def discard(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)


def write_whole(
    path: str | Path,
    content: bytes | Callable[[str], None],
    *,
    sync: bool = False,
) -> None:
    """Write a file under a temporary name, then rename it.

    Readers, other ranks and the next run never see half a file, even if the
    process is killed.

    Args:
        path (str | Path): Path of the file; missing folders are made.
        content (bytes or Callable): The bytes, or a function that writes a
            file, or makes a link, at the path that it is given. That path
            has the suffix of ``path``.
        sync (bool): Whether bytes reach the disk before the file gets its
            name. Defaults to False.
    """
    target = PartialFile(path)
    try:
        if callable(content):
            content(str(target.path))
        else:
            with open(target.path, 'wb') as file:
                file.write(content)
                if sync:
                    file.flush()
                    os.fsync(file.fileno())
        # Not finish(): another file may be called `<name>.partial`.
        os.replace(target.path, target.final)
    finally:
        target.discard()


def ensure_writable(directory: str | Path, option: str) -> None:
    """Make a folder and see whether files can be written there.

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
