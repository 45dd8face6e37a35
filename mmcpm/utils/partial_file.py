"""A file that grows while a program runs, and is named when it is whole."""

import contextlib
import os
import uuid
from pathlib import Path

from .io import PARTIAL


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
