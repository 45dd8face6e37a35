"""Picture files: whether one is whole, and its pixels as they are stored.

Label maps and the sizes in annotation files refer to the pixels as they are
stored. An EXIF orientation, with which cameras tell viewers to turn a
picture, is therefore ignored by everything that decodes a picture here; some
decoders turn pictures unasked, and none turns the label map along.
"""

import io
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import mmcv
import numpy as np
from PIL import Image, UnidentifiedImageError

ORIENTATION = 0x0112
JPEG_START, JPEG_END, JPEG_SCAN = b'\xff\xd8', b'\xff\xd9', b'\xff\xda'
# In coded data, 0xFF00 is a value, and 0xFFD0 to 0xFFD7 stand between two
# parts of a scan. Before a marker, 0xFF may be repeated.
JPEG_MARKER = re.compile(rb'\xff[^\x00\xff\xd0-\xd7]', re.DOTALL)
PNG_START = b'\x89PNG\r\n\x1a\n'
TIFF_STARTS = (b'II*\x00', b'MM\x00*', b'II+\x00', b'MM\x00+')


def _find_jpeg_end(data: bytes) -> int | None:
    """Find where the picture of a JPEG file ends.

    What follows is not looked at: telephones append a video there.
    """
    position, seen_scan = len(JPEG_START), False
    while marker := JPEG_MARKER.search(data, position):
        code = marker[0]
        if code == JPEG_END:
            return marker.start() if seen_scan else None
        if code == JPEG_START:
            # Another picture begins within this one.
            return None
        seen_scan = seen_scan or code == JPEG_SCAN
        position = marker.end()
        if code != b'\xff\x01':
            # Segments with a thumbnail hold pictures of their own.
            position += int.from_bytes(data[position : position + 2], 'big')
    return None


def is_cut_jpeg(data: bytes) -> bool:
    """Tell whether JPEG data ends before its picture does.

    OpenCV fills the missing rows of such a picture with gray.
    """
    return data.startswith(JPEG_START) and _find_jpeg_end(data) is None


def _is_closed_early(data: bytes, picture: np.ndarray) -> bool:
    """Tell whether a JPEG file was cut and given a mark of the end.

    More coded data before the mark changes such a picture, and no other. It
    is only tried where the last pixel is as decoders leave it, and with
    Pillow, because OpenCV would print that the longer file is corrupt.
    """
    if not data.startswith(JPEG_START) or (picture[-1, -1] != 128).any():
        return False
    end = _find_jpeg_end(data)
    longer = data[:end] + bytes(range(128)) * 8 + data[end:]
    try:
        with (
            Image.open(io.BytesIO(data)) as as_it_is,
            Image.open(io.BytesIO(longer)) as extended,
        ):
            return not np.array_equal(as_it_is, extended)
    except (OSError, SyntaxError):
        return True


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """List the chunks of a PNG file, and see that they are whole."""
    position, name = len(PNG_START), b''
    while name != b'IEND':
        head = data[position : position + 8]
        length = int.from_bytes(head[:4], 'big')
        name, start = head[4:], position + 8
        position = start + length + 4
        if len(head) < 8 or position > len(data):
            raise ValueError(f'the file is truncated ({len(data)} bytes)')
        content = data[start : start + length]
        checksum = int.from_bytes(data[position - 4 : position], 'big')
        # The names of chunks that make the picture begin with a capital.
        if name[:1].isupper() and zlib.crc32(name + content) != checksum:
            raise ValueError(
                f'the file is damaged: the checksum of its part '
                f'{name.decode("latin-1")!r} is wrong'
            )
        yield name, content


def _check_whole(data: bytes) -> None:
    """Refuse a picture file of which a part is missing.

    Other formats than JPEG and PNG are left to their decoders, which refuse
    them.
    """
    if not data:
        raise ValueError('the file is empty (0 bytes)')
    if is_cut_jpeg(data):
        raise ValueError(f'the file is truncated ({len(data)} bytes)')
    if data.startswith(PNG_START):
        for _ in _png_chunks(data):
            pass


def _orientation_place(data: bytes) -> tuple[int, str] | None:
    """Find where a TIFF file holds its orientation, and in which form."""
    order = '<' if data[:1] == b'I' else '>'
    big = data[2:4] in (b'+\x00', b'\x00+')
    try:
        (start,) = struct.unpack_from(
            order + ('Q' if big else 'I'), data, 8 if big else 4
        )
        (number,) = struct.unpack_from(
            order + ('Q' if big else 'H'), data, start
        )
        start, step = (start + 8, 20) if big else (start + 2, 12)
        for entry in range(start, start + number * step, step):
            tag, kind = struct.unpack_from(order + 'HH', data, entry)
            if tag == ORIENTATION and kind in (3, 4):
                return entry + step - (8 if big else 4), (
                    order + ('H' if kind == 3 else 'I')
                )
    except struct.error:
        pass
    return None


def _without_orientation(data: bytes) -> bytes:
    """Take the orientation off a TIFF file, which no decoder can ignore."""
    if not data.startswith(TIFF_STARTS):
        return data
    if (found := _orientation_place(data)) is None:
        return data
    place, form = found
    changed = bytearray(data)
    struct.pack_into(form, changed, place, 1)
    return bytes(changed)


def read_orientation(data: bytes) -> int:
    """Read the EXIF orientation of a picture file, which is ignored.

    1 if pixels are stored as they are to be seen, or if the file says nothing;
    2 to 8 if viewers are to turn or mirror it.
    """
    if data.startswith(TIFF_STARTS):
        found = _orientation_place(data)
        value = struct.unpack_from(found[1], data, found[0])[0] if found else 1
    else:
        try:
            with Image.open(io.BytesIO(data)) as image:
                # Pillow decodes a PNG file to look for it behind the pixels.
                silent = image.format == 'PNG' and b'eXIf' not in data
                value = 1 if silent else image.getexif().get(ORIENTATION, 1)
        except (OSError, SyntaxError, ValueError, struct.error):
            value = 1
    return value if value in range(2, 9) else 1


def decode_picture(
    data: bytes, flag: str | int = 'color', backend: str | None = 'cv2'
) -> np.ndarray:
    """Decode a whole picture file as it is stored.

    Args:
        data (bytes): The file.
        flag (str | int): Kind of picture, as of ``mmcv.imfrombytes``. Defaults
            to 'color'.
        backend (str, optional): Likewise. Defaults to 'cv2'.

    Returns:
        np.ndarray: Pixels, ``[H, W]`` or ``[H, W, channels]``; colors in
        the order blue, green, red.

    Raises:
        ValueError: If it is no picture, or not all of one.
    """
    _check_whole(data)
    backend = backend or mmcv.image.io.imread_backend
    # The other two backends never turn a picture.
    if backend in ('cv2', 'pillow'):
        if flag in ('color', 'grayscale'):
            flag = f'{flag}_ignore_orientation'
        elif isinstance(flag, int) and flag >= 0:
            flag |= cv2.IMREAD_IGNORE_ORIENTATION
        data = _without_orientation(data)
    try:
        picture = mmcv.imfrombytes(data, flag=flag, backend=backend)
    except (UnidentifiedImageError, SyntaxError, cv2.error):
        picture = None
    if picture is None:
        raise ValueError(f'{len(data)} bytes arrived and could not be decoded')
    if _is_closed_early(data, picture):
        raise ValueError(
            f'a part of the picture is missing ({len(data)} bytes)'
        )
    return picture


def open_picture(data: bytes) -> Image.Image:
    """Open a whole picture file with Pillow, as it is stored, in its own mode.

    Raises:
        ValueError: If it is no picture, or not all of one.
    """
    _check_whole(data)
    try:
        return Image.open(io.BytesIO(_without_orientation(data)))
    except (UnidentifiedImageError, SyntaxError):
        raise ValueError(
            f'{len(data)} bytes arrived and could not be decoded'
        ) from None


def read_picture(path: str | Path, flag: str = 'unchanged') -> np.ndarray:
    """Read a picture from the local disk, see :func:`decode_picture`."""
    with open(path, 'rb') as file:
        return decode_picture(file.read(), flag)
