"""Looking at a picture without decoding it."""

import os
from typing import BinaryIO, NamedTuple

from PIL import Image, UnidentifiedImageError

from ..transforms.frame_loading import is_cut_jpeg

PNG_END = b'IEND\xaeB`\x82'
# The end marker is looked for here before the whole file is read.
TAIL_BYTES = 64


class Header(NamedTuple):
    """What the header of a picture tells.

    Attributes:
        height (int): Pixels.
        width (int): Pixels.
        mode (str): Pillow's name of the pixel format.
    """

    height: int
    width: int
    mode: str


def read_header(path: str) -> Header:
    """Read the header of a picture, and whether its file is whole.

    Args:
        path (str): The file.

    Returns:
        Header: What it tells.

    Raises:
        OSError: If it cannot be opened.
        ValueError: If it is no picture or was cut short; tells why.
    """
    size = os.path.getsize(path)
    if not size:
        raise ValueError('the file is empty (0 bytes)')
    with open(path, 'rb') as file:
        # Pillow tells of a broken PNG file with a SyntaxError.
        try:
            image = Image.open(file)
        except (UnidentifiedImageError, SyntaxError):
            raise ValueError(f'{size} bytes that are no picture') from None
        except OSError as error:
            if error.errno is not None:
                raise
            # Pillow ran out of bytes in the header.
            raise ValueError(f'the file is truncated ({size} bytes)') from None
        if _is_cut(file, size, image.format):
            raise ValueError(f'the file is truncated ({size} bytes)')
    return Header(image.height, image.width, image.mode)


def _is_cut(file: BinaryIO, size: int, kind: str) -> bool:
    """Tell whether a JPEG or PNG file ends before its picture does."""
    if kind not in ('JPEG', 'PNG'):
        return False
    file.seek(max(size - TAIL_BYTES, 0))
    tail = file.read()
    if kind == 'PNG':
        if PNG_END in tail:
            return False
        file.seek(0)
        return PNG_END not in file.read()
    if tail.endswith(b'\xff\xd9'):
        return False
    file.seek(0)
    return is_cut_jpeg(file.read())
