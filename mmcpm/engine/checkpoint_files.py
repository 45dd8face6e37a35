"""Checkpoint files that are whole or not there at all."""

import os
import os.path as osp
import re
import shutil
import zipfile

from mmengine.fileio import LocalBackend, register_backend

from mmcpm.utils.io import write_whole


class AtomicLocalBackend(LocalBackend):
    """mmengine's local files, written aside and renamed when complete."""

    def put(self, obj: bytes, filepath: str) -> None:
        """Write a file so that at every moment it is old or new, not both.

        Raises:
            OSError: If it cannot be written, e.g. for want of space. What
                was there before is untouched.
        """
        folder = osp.dirname(osp.abspath(filepath))
        os.makedirs(folder, exist_ok=True)
        try:
            write_whole(filepath, obj, sync=True)
        except OSError as error:
            free = shutil.disk_usage(folder).free
            raise OSError(
                error.errno,
                f'{filepath} could not be saved ({len(obj) / 2**20:.1f} MiB '
                f'needed, {free / 2**20:.1f} MiB free): {error.strerror}. '
                'Earlier checkpoints are unharmed; make room or choose '
                'another --work-dir, then continue with --resume',
            ) from error

    def put_text(
        self, obj: str, filepath: str, encoding: str = 'utf-8'
    ) -> None:
        """Write a text file the same way."""
        self.put(obj.encode(encoding), filepath)


register_backend('atomic_local', AtomicLocalBackend, force=True)


class LateRemoval:
    """A file backend that removes files only when it is told to.

    Args:
        backend (BaseStorageBackend): Does all the work.
    """

    def __init__(self, backend) -> None:
        self._backend = backend
        self._removals: list[tuple] = []

    def __getattr__(self, name: str):
        return getattr(self._backend, name)

    @property
    def pending(self) -> list[str]:
        """list[str]: Paths that wait for their removal."""
        return [path for _, path in self._removals]

    def remove(self, path: str) -> None:
        """Remember a file to remove."""
        self._removals.append((self._backend.remove, path))

    def rmtree(self, path: str) -> None:
        """Remember a folder to remove."""
        self._removals.append((self._backend.rmtree, path))

    def flush(self, keep: set[str]) -> None:
        """Remove what was remembered."""
        for remove, path in self._removals:
            if path not in keep and self._backend.exists(path):
                remove(path)
        self._removals.clear()


def is_whole_checkpoint(path: str) -> bool:
    """Tell whether a checkpoint file is complete (archive and checksums)."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None and any(
                name.endswith('data.pkl') for name in archive.namelist()
            )
    except (OSError, zipfile.BadZipFile):
        return False


def numbered_checkpoints(work_dir: str) -> list[tuple[int, str]]:
    """List the checkpoints of a run that hold an optimizer.

    Returns:
        list[tuple[int, str]]: Number and path of each ``epoch_N.pth`` or
        ``iter_N.pth``, the highest number first.
    """
    if not osp.isdir(work_dir):
        return []
    found = []
    for name in os.listdir(work_dir):
        match = re.fullmatch(r'(?:epoch|iter)_(\d+)\.pth', name)
        if match:
            found.append((int(match.group(1)), osp.join(work_dir, name)))
    return sorted(found, reverse=True)


def find_newest_whole_checkpoint(work_dir: str) -> str | None:
    """Find where to resume.

    Returns:
        str or None: The ``epoch_N.pth`` or ``iter_N.pth`` with the highest
        number that is complete; None if there is none. Best checkpoints do
        not count: they hold no optimizer.
    """
    for _, path in numbered_checkpoints(work_dir):
        if is_whole_checkpoint(path):
            return path
    return None
