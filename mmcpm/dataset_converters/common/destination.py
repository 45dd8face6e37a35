"""The folder of a prepared copy, and files that appear in it as a whole."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mmcpm.utils.errors import UsageError
from mmcpm.utils.io import PARTIAL, write_whole


class Options(NamedTuple):
    """How a prepared copy is made.

    Attributes:
        resize (tuple[int, int] | None): Height and width of frames and label
            maps, pixels; None leaves them as they are.
        palette (Sequence | None): If not None, label maps that are color
            pictures are decoded with it, and missing ones are made of the
            folder ``labels_rgb``.
        copy (bool): Whether unchanged files are copied; else linked.
    """

    resize: tuple[int, int] | None = None
    palette: Sequence[Sequence[int]] | None = None
    copy: bool = False


class Destination:
    """The folder of a prepared copy and what it says about itself.

    Args:
        root (str): The data root that it is made from.
        folder (str): The folder to write.
        dataset (str): Name of the dataset: a folder may hold several.
        options (Options): Options of the copy.

    Raises:
        UsageError: If the folder holds something else, or a copy that was
            made in another way.
    """

    def __init__(
        self, root: str, folder: str, dataset: str, options: Options
    ) -> None:
        self.folder = Path(os.path.realpath(folder))
        source = Path(os.path.realpath(root))
        if self.folder == source or source in self.folder.parents:
            raise UsageError(
                f'{folder} is the data root or lies in it, and a data root is '
                'never changed. Choose a folder elsewhere.'
            )
        self.marker = self.folder / f'prepared_{dataset}.json'
        self.wanted = {
            'source': str(source),
            'resize': list(options.resize) if options.resize else None,
            'decoded_colours': options.palette is not None,
            'copy': options.copy,
        }
        if self.marker.is_file():
            found = json.loads(self.marker.read_text())
            for key, value in self.wanted.items():
                if found.get(key) != value:
                    raise UsageError(
                        f'{folder} was prepared with {key} {found.get(key)}, '
                        f'not {value}. Choose another folder, or the same '
                        'options.'
                    )
        elif self.folder.is_dir() and not any(
            self.folder.glob('prepared_*.json')
        ):
            if any(self.folder.iterdir()):
                raise UsageError(
                    f'{folder} holds files that this program did not write, '
                    'so it is left alone. Choose a new or empty folder.'
                )
        elif self.folder.exists() and not self.folder.is_dir():
            raise UsageError(f'{folder} is no folder. Choose another name.')

    def begin(self) -> None:
        """Make the folder and remove what a killed run left half-written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.marker.is_file():
            for path in self.folder.rglob(f'*{PARTIAL}*'):
                path.unlink()
        self._mark(finished=False)

    def finish(self, texts: dict[str, str]) -> None:
        """Write the index files, by path: with them the copy is complete."""
        for name, text in texts.items():
            write_whole(self.folder / name, text.encode())
        self._mark(finished=True)

    def _mark(self, finished: bool) -> None:
        """Write the marker."""
        text = json.dumps({**self.wanted, 'finished': finished}, indent=1)
        write_whole(self.marker, f'{text}\n'.encode())
