"""The frames of an MP3 file, each a fixed number of samples.

An MP3 file need not say how long it is, and decoders guess: from the size and
the bit rate of its first frame, which is wrong by any factor where the bit
rate changes. Here the frames are counted, and the decoder is told the number
where encoders tell it, in a first frame without samples.
"""

import re
from typing import BinaryIO, NamedTuple

from .audio_containers import Container, skip_tags

# Bit rates in kbit/s of layer III, by version: MPEG 1, and 2 with 2.5.
BIT_RATES = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
SAMPLE_RATES = (44100, 48000, 32000)
# Layer III begins so. Among other bytes, that many frames in a row are none
# by chance.
SYNC = re.compile(rb'\xff[\xe2\xe3\xf2\xf3\xfa\xfb]')
FRAMES_IN_A_ROW = 4
# Names of tags, which players step over.
TAGS = (b'ID3', b'TAG', b'APETAGEX', b'LYRICSBEGIN')
# How much may stand before the first frame, pictures of the sleeve included.
SEARCHED = 1 << 22


class MP3Head(NamedTuple):
    """The header of a frame.

    Attributes:
        size (int): Bytes of the frame; 0 if this is no header.
        kind (tuple, optional): What all frames of a stream share.
        side (int): Bytes of side information behind the header.
    """

    size: int = 0
    kind: tuple | None = None
    side: int = 0


def read_head(data: bytes, place: int = 0) -> MP3Head:
    """Read the header of the frame that begins at a byte."""
    head = data[place : place + 4]
    if len(head) < 4 or head[0] != 255 or head[1] & 0xE6 != 0xE2:
        return MP3Head()
    version, rate, number = head[1] >> 3 & 3, head[2] >> 2 & 3, head[2] >> 4
    if version == 1 or rate == 3 or number in (0, 15):
        return MP3Head()
    low, is_mono = version != 3, head[3] >> 6 == 3
    # MPEG 2 has half the sample rates, MPEG 2.5 a quarter.
    hertz = SAMPLE_RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    bits = (72 if low else 144) * 1000 * BIT_RATES[low][number]
    side = ((32, 17), (17, 9))[low][is_mono]
    size = bits // hertz + (head[2] >> 1 & 1)
    return MP3Head(size, (version, rate, is_mono), side)


def inspect_mp3(file: BinaryIO) -> Container | None:
    """Count the frames of an MP3 file.

    Args:
        file (BinaryIO): The file.

    Returns:
        Container | None: What is there; None for other formats.

    Raises:
        ValueError: If frames in the middle are damaged or of another kind.
    """
    start = skip_tags(file)
    file.seek(start)
    first = read_head(file.read(4)).size
    file.seek(start + first)
    head = file.read(4)
    if first and (len(head) < 4 or read_head(head).size):
        file.seek(0)
        return _count_frames(file.read(), start)
    return None


def search_mp3(file: BinaryIO) -> Container | None:
    """Look for MP3 frames behind bytes that players step over.

    As :func:`inspect_mp3`, for a file of no known format.
    """
    start = skip_tags(file)
    file.seek(0)
    data = file.read()
    found = _find_run(data, start, start + SEARCHED)
    return None if found is None else _count_frames(data, found)


def _count_frames(data: bytes, start: int) -> Container:
    """Count the frames from a byte on."""
    first = read_head(data, start)
    number, smallest, place = 0, first.size, start
    while place is not None:
        head = read_head(data, place)
        if head.kind != first.kind:
            place = _next_run(data, place, first, smallest)
        elif place + head.size > len(data):
            break
        else:
            number, place = number + 1, place + head.size
            smallest = min(smallest, head.size)
    is_cut = place is not None
    where, told = _read_number(data[start : start + first.size], first.side)
    if told is not None:
        number -= 1
    if not told:
        prefix = _announce(data[start : start + 4], first.side, number)
        start += first.size if told == 0 else 0
        return Container(start, number + is_cut, number, prefix=prefix)
    # Some encoders count the frame that tells the number.
    if told > number + (not is_cut):
        return Container(start, told, number, counts_claimed=True)
    patches = ((where, number.to_bytes(4, 'big')),) if told != number else ()
    return Container(start, number, number, patches=patches)


def _next_run(
    data: bytes, place: int, first: MP3Head, smallest: int
) -> int | None:
    """Find frames behind bytes that are none.

    Fewer bytes than the smallest frame has do not stand for a lost one.
    """
    found = _find_run(data, place, len(data))
    if found is None:
        return None
    if read_head(data, found).kind != first.kind:
        raise ValueError(
            'its sample rate or number of channels changes at byte '
            f'{found}; join such parts with a sound editor'
        )
    between = data[place:found]
    lost = len(between) >= smallest and any(between)
    if lost and not between.startswith(TAGS):
        raise ValueError(
            f'the file is damaged: the {found - place} bytes from byte '
            f'{place} on are no MP3 frames'
        )
    return found


def _read_number(frame: bytes, side: int) -> tuple[int, int | None]:
    """Read the number of frames that encoders tell in the first one.

    Returns:
        tuple[int, int | None]: Where it stands, and the number: 0 if it is
        not told, None if the frame holds samples.
    """
    place = 4 + side
    if frame[36:40] == b'VBRI':
        place = 50
    elif frame[place : place + 4] not in (b'Xing', b'Info'):
        return 0, None
    elif not frame[place + 7] & 1:
        return 0, 0
    else:
        place += 8
    return place, int.from_bytes(frame[place : place + 4], 'big')


def _announce(head: bytes, side: int, number: int) -> bytes:
    """Make a frame that tells the number of those that follow."""
    # 128 kbit/s, without a checksum; the other fields as in the stream.
    code = BIT_RATES[head[1] >> 3 & 3 != 3].index(128)
    head = bytes([255, head[1] | 1, code << 4 | head[2] & 12, head[3]])
    tag = b'Xing' + (1).to_bytes(4, 'big') + number.to_bytes(4, 'big')
    return (head + bytes(side) + tag).ljust(read_head(head).size, b'\0')


def _find_run(data: bytes, start: int, end: int) -> int | None:
    """Find several MP3 frames in a row that begin between two bytes."""
    for found in SYNC.finditer(data, start, end):
        place, kind = found.start(), read_head(data, found.start()).kind
        for _ in range(FRAMES_IN_A_ROW):
            head = read_head(data, place)
            if not head.size or head.kind != kind:
                break
            place += head.size
        else:
            return found.start()
    return None
