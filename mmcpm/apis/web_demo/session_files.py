"""Uploads and results on disk: whose they are, and their end."""

import shutil
import threading
import uuid
from collections import defaultdict
from pathlib import Path


class SessionFiles:
    """Files of the visitors in a folder, deleted when they leave.

    Equal uploads of two visitors are one file: it goes with the last.

    Args:
        folder (str | Path): Holds all of them.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).resolve()
        self._owned: dict[str, set[Path]] = defaultdict(set)
        self._lock = threading.Lock()

    def keep(self, path: str) -> str:
        """Move a finished file into the folder.

        Args:
            path (str): File.

        Returns:
            str: Where it is now.
        """
        target = self.folder / uuid.uuid4().hex / Path(path).name
        target.parent.mkdir(parents=True)
        shutil.move(path, target)
        return str(target)

    def own(self, session: str, *paths: str | None) -> None:
        """Note that a visitor uses files; those elsewhere are no concern.

        Args:
            session (str): The visitor.
            *paths (str, optional): Files.
        """
        with self._lock:
            for path in paths:
                if path and self.folder in Path(path).resolve().parents:
                    self._owned[session].add(Path(path).resolve())

    def drop(self, session: str, *paths: str | None) -> None:
        """Delete files of a visitor, all if none is given.

        Args:
            session (str): The visitor.
            *paths (str, optional): Files.
        """
        with self._lock:
            own = self._owned.get(session, set())
            gone = {Path(p).resolve() for p in paths if p} if paths else own
            gone = gone & own
            self._owned[session] = own - gone
            if not self._owned[session]:
                del self._owned[session]
            shared = set().union(*self._owned.values())
        for path in gone - shared:
            path.unlink(missing_ok=True)
            if path.parent != self.folder:
                shutil.rmtree(path.parent, ignore_errors=True)
