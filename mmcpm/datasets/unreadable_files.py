"""Files of samples that cannot be read, of which a training may skip some."""

import logging
from typing import Any

from mmcv.transforms import LoadAnnotations, LoadImageFromFile
from mmengine.logging import print_log

from .errors import SampleReadError
from .transforms import CutAudioToFrame, LoadAudioFromFile

# Transforms that read a file, the key of its path, and what it is.
READERS = (
    (LoadImageFromFile, 'img_path', 'frame'),
    (LoadAnnotations, 'seg_map_path', 'label file'),
    (LoadAudioFromFile, 'audio_path', 'audio file'),
    (CutAudioToFrame, 'audio_path', 'audio file'),
)


def file_of(transform: Any, results: dict) -> tuple[str, str]:
    """Name the file that a transform will read, '' for none, and its kind."""
    for reader, key, kind in READERS:
        if isinstance(transform, reader):
            return results.get(key, ''), kind
    return '', ''


class UnreadableFiles:
    """Counts unreadable files, each once.

    Args:
        limit (int): How many are tolerated.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._faults: dict[str, str] = {}

    def tolerate(self, error: SampleReadError, hint: str) -> None:
        """Count and log an unreadable file.

        Args:
            error (SampleReadError): Names the file.
            hint (str): End of its message, which is of no use here.

        Raises:
            SampleReadError: If it is one too many.
        """
        if error.path in self._faults:
            return
        fault = str(error).removesuffix(hint)
        self._faults[error.path] = fault
        number = len(self._faults)
        if number > self.limit:
            raise SampleReadError(
                f'More than skip_unreadable={self.limit} files cannot be '
                f'read. {self}',
                error.path,
            )
        print_log(
            f'{fault} Replaced by the next sample: unreadable file {number} '
            f'of at most {self.limit}.',
            logger='current',
            level=logging.WARNING,
        )

    def __str__(self) -> str:
        return 'Unreadable files:\n' + '\n'.join(self._faults.values())
