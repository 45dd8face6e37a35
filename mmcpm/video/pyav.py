"""PyAV, which reads and writes videos, imported when it is needed.

Nothing else of the package needs it: ``pip install av``.
"""

import os.path as osp
from types import ModuleType

from mmcpm.utils.errors import UsageError

REMEDY = 'pip install av'


class VideoReadError(UsageError, ValueError):
    """A video or its sound cannot be used: which, why and what to do."""


def import_av() -> ModuleType:
    """Import PyAV.

    Returns:
        ModuleType: The package ``av``.

    Raises:
        UsageError: If it is not installed, or cannot be loaded.
    """
    try:
        import av
    except ImportError as error:
        raise UsageError(
            f'reading and writing videos needs PyAV ({error}). Install it: '
            f'{REMEDY}'
        ) from error
    # FFmpeg tells of every damaged packet on stderr; the reader counts them.
    av.logging.set_level(av.logging.PANIC)
    return av


def open_container(path: str):
    """Open a video or sound file for reading.

    Args:
        path (str): Path of the file.

    Returns:
        av.container.InputContainer: The open file, which the caller closes.

    Raises:
        VideoReadError: If it is missing or no file that FFmpeg knows.
    """
    av = import_av()
    if '://' not in path:
        if not osp.exists(path):
            raise VideoReadError(f'video not found: {osp.abspath(path)}')
        if osp.isdir(path):
            raise VideoReadError(
                f'{path} is a folder where a video file was expected'
            )
        if not osp.getsize(path):
            raise VideoReadError(f'{path} is empty (0 bytes)')
    try:
        container = av.open(path)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoReadError(
            f'{path} cannot be opened as a video: {tell_content(path, error)}'
            '. Expected mp4, mov, webm, mkv, avi or another file that FFmpeg '
            'reads'
        ) from error
    if container.format.name in ('tty', 'ansi', 'bin'):
        container.close()
        raise VideoReadError(f'{path} is a text file, not a video')
    return container


def tell_content(path: str, error: Exception) -> str:
    """Tell what a file holds that is no video.

    Args:
        path (str): Path of the file.
        error (Exception): What FFmpeg said.

    Returns:
        str: Part of a sentence.
    """
    reason = (getattr(error, 'strerror', None) or str(error)).lower()
    if isinstance(error, PermissionError) or '://' in path:
        return reason
    with open(path, 'rb') as file:
        begin = file.read(512)
    try:
        text = begin.decode('utf-8')
    except UnicodeDecodeError:
        text = ''
    if (
        text.strip()
        and (text.isprintable() or '\n' in text)
        and ('\0' not in text)
    ):
        first = text.strip().splitlines()[0][:40]
        return f'it is a text file (it begins with {first!r})'
    if b'ftyp' in begin[:16]:
        return (
            f'its index is missing ({reason}): the file was cut short while '
            'it was recorded or copied'
        )
    return f'{reason} (it begins with {begin[:8]!r})'
