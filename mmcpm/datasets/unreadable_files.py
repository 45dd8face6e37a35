"""Files of samples that cannot be read, of which a training may skip some."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from mmcv.transforms import LoadAnnotations, LoadImageFromFile
from mmengine.logging import print_log

from .errors import FileReadError, SampleReadError
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


def run_steps(
    steps: Sequence[Callable[[dict], Any]],
    results: dict,
    hint: str = '',
    before_step: Callable[[int], None] | None = None,
) -> Any:
    """Apply transforms to a frame; name frame and file if one cannot read.

    Args:
        steps (Sequence[Callable]): The transforms.
        results (dict): What they get.
        hint (str): End of the message of an error.
        before_step (Callable, optional): Called with the number of each
            transform before it.

    Returns:
        Any: What the last one gives; None if one gives that.

    Raises:
        SampleReadError: If a file cannot be read.
    """
    sample_id = results['sample_id']
    for number, transform in enumerate(steps):
        path, kind = file_of(transform, results)
        if before_step is not None:
            before_step(number)
        try:
            results = transform(results)
        except Exception as error:
            if not path or isinstance(error, MemoryError):
                raise
            # Of several sounds, the error tells which.
            path = getattr(error, 'path', '') or path
            reason = str(error)
            if not isinstance(error, FileReadError):
                reason = (
                    f'Cannot read the {kind} {path} '
                    f'({type(error).__name__}: {error}). Restore it from the '
                    "dataset's archive."
                )
            raise SampleReadError(
                f'Sample {sample_id}: {reason}{hint}', path
            ) from error
        if results is None:
            return None
    return results


def check_skipping(skip_unreadable: int, test_mode: bool) -> None:
    """Refuse a number of files to skip that cannot be meant.

    Args:
        skip_unreadable (int): How many files are tolerated.
        test_mode (bool): Whether samples are for evaluation.

    Raises:
        ValueError: If it is negative, or a score would leave samples out.
    """
    if skip_unreadable < 0 or (skip_unreadable and test_mode):
        raise ValueError(
            f'skip_unreadable={skip_unreadable} with test_mode={test_mode}: '
            'the number cannot be negative, and a score over fewer samples '
            'is not comparable. Use it for training only, and repair the '
            'files for evaluation.'
        )


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
            SampleReadError: If it is one too many; ``error`` itself if none
                is tolerated.
        """
        if not self.limit:
            raise error
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
