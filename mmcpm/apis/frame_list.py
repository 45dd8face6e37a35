"""A JSON file of the classes of every frame."""

import contextlib
import json
from pathlib import Path

from mmcpm.utils.io import PartialFile

from .frame_result import FrameResult


class FrameList:
    """A JSON file to which frames are added, valid however it ends.

    Args:
        path (str | Path): Name of the file.
        head (dict): What is told before the frames.
    """

    def __init__(self, path: str | Path, head: dict) -> None:
        self._target = PartialFile(path)
        # Closed by end().
        self._file = open(  # noqa: SIM115
            self._target.path, 'w', encoding='utf-8'
        )
        self._file.write(json.dumps(head, indent=1)[:-2] + ',\n "frames": [')
        self._next, self._whole = '\n  ', self._file.tell()

    def add(self, result: FrameResult) -> None:
        """Add a frame."""
        self._file.write(self._next + json.dumps(result.to_dict()))
        self._next = ',\n  '

    def end(self, is_complete: bool, notes: list[str]) -> Path | None:
        """Close and name the file.

        Args:
            is_complete (bool): Whether all frames are in it.
            notes (list[str]): What a user should know.

        Returns:
            Path | None: The name; None if nothing of it could be kept.
        """
        told = {'complete': is_complete, 'notes': notes}
        tail = '\n ],\n ' + json.dumps(told, indent=1)[1:].lstrip() + '\n'
        try:
            self._file.write(tail)
            self._file.close()
        except OSError:
            with contextlib.suppress(OSError):
                self._file.close()
            if is_complete or not self._repair(tail):
                self._target.discard()
                if is_complete:
                    raise
                return None
        if is_complete:
            return self._target.finish()
        return self._target.keep()

    def _repair(self, tail: str) -> bool:
        """End a file, of which the disk took a part, after a whole frame."""
        tail = tail.encode()
        with contextlib.suppress(OSError, ValueError):
            data = self._target.path.read_bytes()
            # Shorter than before: the tail takes the place of some frames.
            end = data.rindex(b'\n  {', 0, len(data) - len(tail))
            end = len(data[:end].rstrip(b','))
            with open(self._target.path, 'r+b') as file:
                file.seek(end)
                file.write(tail)
                file.truncate()
            json.loads(self._target.path.read_text())
            return True
        return False
