"""Errors about the files of a dataset; each message is complete in itself.

They end a tool with their message alone (see :mod:`mmcpm.utils.errors`). All
take the message as their only required argument, so that a ``DataLoader`` can
raise them again in the main process.
"""

from mmcpm.utils.errors import UsageError


def why(error: Exception) -> str:
    """Tell what an error is about, without naming its file once more.

    Args:
        error (Exception): Error met while a file was read.

    Returns:
        str: For example 'no such file or directory'.
    """
    reason = getattr(error, 'strerror', None)
    return reason[0].lower() + reason[1:] if reason else str(error)


class DatasetIndexError(UsageError, ValueError):
    """An index file of a dataset holds something else than expected."""


class DatasetNotFoundError(UsageError, FileNotFoundError):
    """A folder or index file of a dataset is not where it was looked for."""


class FileReadError(UsageError, ValueError):
    """A file of a sample cannot be used: which, why and what to do."""


class AudioReadError(FileReadError):
    """A sound file cannot be used."""


class FrameReadError(FileReadError):
    """A frame cannot be used."""


class LabelReadError(FileReadError):
    """A label file cannot be used."""


class SampleReadError(FileReadError):
    """A sample cannot be read; names the sample beside the file.

    Args:
        message (str): The message.
        path (str): The file at fault. Defaults to ''.
    """

    def __init__(self, message: str, path: str = '') -> None:
        super().__init__(message)
        self.path = path
