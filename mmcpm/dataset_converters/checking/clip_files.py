"""The files that a row of an index file asks for."""

from typing import NamedTuple


class ClipFiles(NamedTuple):
    """The files of a clip; paths are relative to the data root.

    Attributes:
        group (str): Subset and split, under which it is counted.
        row (int): Its line in the index file.
        frames (tuple): Path of every frame, and of its label map or None.
        sounds (tuple[str, ...]): Its sound files.
        seconds (float): How long they should be.
        at_least (bool): Whether they may be longer.
        more_rows (tuple[int, ...]): Further lines that speak of it.
        sources (tuple[str, ...]): Names of what sounds, by the index file.
    """

    group: str
    row: int
    frames: tuple[tuple[str, str | None], ...]
    sounds: tuple[str, ...]
    seconds: float
    at_least: bool = False
    more_rows: tuple[int, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def paths(self) -> list[str]:
        """list[str]: All its files."""
        pairs = [path for pair in self.frames for path in pair if path]
        return [*pairs, *self.sounds]
