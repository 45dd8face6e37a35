"""Length of a sound file, as its container states it.

libsndfile takes what is there for the whole: it reads a WAV file that was cut
short without a word, and one whose writer could not go back to fill in the
length not at all. Here the sizes are read and compared with the file, of
which only headers and the last page are looked at.
"""

import itertools
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

# Programs that write into a pipe give the largest size, or zero; some
# subtract what stands before the samples.
OPEN_SIZES = (2**31, 2**32)
OPEN_MARGIN = 1 << 16
# An Ogg page is never larger.
PAGE_BYTES = 27 + 255 + 255 * 255
# How streams of sound in Ogg begin, and how much is looked at on the way.
OGG_SOUNDS = (b'\x01vorbis', b'OpusHead', b'\x7fFLAC', b'Speex')
OGG_LOOK = 1 << 14
# Where FLAC keeps the number of samples, and the most that is searched for
# its last frame.
FLAC_TOTAL = 2**36 - 1
FLAC_FRAME_BYTES = 1 << 20


class Container(NamedTuple):
    """The samples in a file, in units that do not matter: bytes or ticks.

    Attributes:
        start (int): Byte at which the container begins, behind a tag.
        claimed (float): Length that the header states; infinite if a part is
            missing and nobody knows how large it is.
        present (float): Length that is in the file.
        is_open (bool): Whether the writer did not tell the length.
        patches (tuple[tuple[int, bytes], ...]): Bytes, from ``start`` on,
            that are to be read in place of those that are there.
        seekable (float): Position from which on decoders cannot seek.
        hidden (int): Bytes at the end of the file that are not to be
            read.
    """

    start: int = 0
    claimed: float = 0
    present: float = 0
    is_open: bool = False
    patches: tuple[tuple[int, bytes], ...] = ()
    seekable: float = float('inf')
    hidden: int = 0

    @property
    def missing_share(self) -> float:
        """float: What is missing, relative to what is present."""
        if self.claimed <= self.present:
            return 0.0
        if not self.present:
            return float('inf')
        return (self.claimed - self.present) / self.present


class Chunk(NamedTuple):
    """A part of a file: its name, where its content is, and its size."""

    name: bytes
    start: int
    size: int


class Chunks(NamedTuple):
    """How a family of containers writes its parts.

    Attributes:
        head (str): Name and size, as ``struct`` describes them.
        first (int): Byte of the first part.
        samples (bytes): Name of the part that holds the samples.
        before (int): Bytes in it before the samples.
        align (int): Parts begin at multiples of it.
        inclusive (bool): Whether the size counts name and size, too.
    """

    head: str
    first: int
    samples: bytes
    before: int = 0
    align: int = 1
    inclusive: bool = False

    def list(self, file: BinaryIO, start: int, end: int) -> Iterator[Chunk]:
        """List the parts, including one that the file ends in."""
        length = struct.calcsize(self.head)
        place = self.first
        while start + place + length <= end:
            file.seek(start + place)
            name, size = struct.unpack(self.head, file.read(length))
            content = place + length
            if self.inclusive:
                size -= length
            yield Chunk(name, content, size)
            place = content + max(size, 0)
            place += -place % self.align


FAMILIES = {
    b'RIFF': Chunks('<4sI', 12, b'data', align=2),
    b'RIFX': Chunks('>4sI', 12, b'data', align=2),
    b'RF64': Chunks('<4sI', 12, b'data', align=2),
    b'BW64': Chunks('<4sI', 12, b'data', align=2),
    b'riff': Chunks('<4s12xQ', 40, b'data', align=8, inclusive=True),
    b'FORM': Chunks('>4sI', 12, b'SSND', before=8, align=2),
    b'caff': Chunks('>4sq', 8, b'data', before=4),
}


def _is_open(size: int) -> bool:
    """Tell whether a size stands for 'not known'."""
    return (
        size < 0
        or any(
            -OPEN_MARGIN <= size - large <= OPEN_MARGIN for large in OPEN_SIZES
        )
        or size >= 2**62
    )


def _inspect_chunks(
    file: BinaryIO, start: int, end: int, family: Chunks
) -> Container:
    """Inspect a container that is made of parts with a size each."""
    size_at, long_size = None, None
    for chunk in family.list(file, start, end):
        if chunk.name == b'ds64':
            size_at = chunk.start + 8
            file.seek(start + size_at)
            (long_size,) = struct.unpack('<Q', file.read(8).ljust(8, b'\0'))
        if chunk.name != family.samples:
            continue
        form = family.head[0] + ('I' if family.head[-1] == 'I' else 'Q')
        extra = struct.calcsize(family.head) if family.inclusive else 0
        size, place = chunk.size, chunk.start - struct.calcsize(form)
        if size == 0xFFFFFFFF and long_size is not None:
            size, place, form = long_size, size_at, '<Q'
        available = end - start - chunk.start
        is_open = _is_open(size) or (
            size <= family.before
            and available > family.before
            and not _only_chunks(file, start + chunk.start + size, end, family)
        )
        patches = ()
        if is_open or size > available:
            patches = ((place, struct.pack(form, available + extra)),)
            if family.inclusive:
                # Of the whole, which libsndfile looks at, too.
                patches += ((16, struct.pack('<Q', end - start)),)
        present = min(size, available) if not is_open else available
        return Container(
            start,
            present if is_open else size,
            present,
            is_open,
            patches if available < 2**32 or form[1] == 'Q' else (),
            # libsndfile takes what follows the samples of W64 for samples.
            hidden=available - present if family.inclusive else 0,
        )
    return Container(start)


def _only_chunks(file: BinaryIO, place: int, end: int, family: Chunks) -> bool:
    """Tell whether nothing but further parts follows."""
    chunks = list(family._replace(first=0).list(file, place + place % 2, end))[
        :1000
    ]
    total = place
    for chunk in chunks:
        if not chunk.name.strip(b'\0').isascii() or chunk.name == bytes(4):
            return False
        total = place + chunk.start + chunk.size
    return bool(chunks) and abs(end - total) <= 1


def _inspect_au(file: BinaryIO, start: int, end: int) -> Container:
    """Inspect a file of Sun's format, which has one header."""
    file.seek(start)
    head = file.read(12)
    order = '>' if head[:1] == b'.' else '<'
    if len(head) < 12:
        return Container(start)
    offset, size = struct.unpack_from(order + 'II', head, 4)
    available = max(end - start - offset, 0)
    if _is_open(size) or not size:
        patch = ((8, struct.pack(order + 'I', min(available, 2**32 - 1))),)
        return Container(start, available, available, True, patch)
    return Container(start, size, min(size, available))


class Page(NamedTuple):
    """A page of Ogg: a part of one of the streams in a file.

    Attributes:
        place (int): Where it begins in the file.
        stop (int): Where it ends; infinite if the file ends in its head.
        flags (int): 2 for the first page of a stream, 4 for the last.
        samples (int): Of its stream up to its end; -1 if not told.
        serial (bytes): Number of its stream.
        name (bytes): Its first bytes, in a first page the format.
    """

    place: int
    stop: float
    flags: int
    samples: int
    serial: bytes
    name: bytes


def _list_pages(file: BinaryIO, start: int, stop: int) -> Iterator[Page]:
    """List the pages that begin in a part of a file."""
    file.seek(start)
    data = file.read(stop - start)
    place = data.find(b'OggS')
    while place >= 0:
        head = data[place : place + 27].ljust(27, b'\0')
        content = place + 27 + head[26]
        end = content + sum(data[place + 27 : content])
        if place + 27 > len(data) or content > len(data):
            end = float('inf')
        samples = int.from_bytes(head[6:14], 'little', signed=True)
        yield Page(
            start + place,
            start + end,
            head[5],
            samples if place + 14 <= len(data) else -1,
            head[14:18],
            data[content : content + 8],
        )
        place = data.find(b'OggS', int(min(end, len(data))))


def _inspect_ogg(file: BinaryIO, start: int, end: int) -> Container:
    """Inspect the last pages, which count samples and mark the end."""
    streams = list(
        itertools.takewhile(
            lambda page: page.flags & 2,
            _list_pages(file, start, min(start + PAGE_BYTES, end)),
        )
    )
    if not streams:
        return Container(start)
    first, *others = streams
    # Beside the sound, there may be pictures or text.
    while others and not first.name.startswith(OGG_SOUNDS):
        first, *others = others
    tail, pages, span = [], [], 3 * PAGE_BYTES
    while not pages:
        tail = list(_list_pages(file, max(start, end - span), end))
        pages = [page for page in tail if page.serial == first.serial]
        span *= 4
    seen = {page for page in tail if page.stop <= end}
    for place in range(start, end, max((end - start) // 4, 1)):
        seen |= {*_list_pages(file, place, min(place + OGG_LOOK, end))}
    counts = [
        page.samples
        for page in sorted(seen)
        if page.serial == first.serial and page.samples >= 0
    ]
    if counts != sorted(counts) or not {page.serial for page in streams} >= {
        page.serial for page in seen if page.stop <= end
    }:
        raise ValueError(
            'it holds several sounds one after another (chained Ogg), of '
            'which decoders read the first only; join them with a sound editor'
        )
    whole = [page for page in pages if page.stop <= end]
    counts = [page.samples for page in whole if page.samples >= 0] or [0]
    present = counts[-1]
    # What lies in the last page cannot be sought.
    seekable = max((n for n in counts if n < present), default=0)
    claimed, is_open = present, False
    if not whole or not whole[-1].flags & 4:
        last = tail[-1]
        if last.stop > end:
            known = last.serial == first.serial and last.samples > present
            claimed = last.samples if known else float('inf')
        elif last.stop < end:
            claimed = float('inf')
        else:
            is_open = True
    return Container(start, claimed, present, is_open, (), seekable)


def _inspect_flac(file: BinaryIO, start: int, end: int) -> Container:
    """Inspect FLAC, whose last frame tells its place where no header does."""
    file.seek(start)
    head = file.read(42)
    packed = int.from_bytes(head[18:26], 'big')
    if len(head) < 42 or packed & FLAC_TOTAL:
        return Container(start)
    largest = int.from_bytes(head[10:12], 'big')
    file.seek(max(start, end - FLAC_FRAME_BYTES))
    tail = file.read()
    total, place = 0, len(tail)
    while not total and place > 0:
        place = tail.rfind(b'\xff', 0, place)
        total = place >= 0 and _flac_frame_end(tail[place:][:16], largest)
    patch = (packed | total & FLAC_TOTAL).to_bytes(8, 'big')
    return Container(start, total, total, True, ((18, patch),))


def _flac_frame_end(head: bytes, largest: int) -> int:
    """Read the sample behind a frame of FLAC; 0 if this is none."""
    if len(head) < 16 or head[1] & 0xFE != 0xF8 or head[3] & 1:
        return 0
    code = head[2] >> 4
    # The number is written as a character of UTF-8 is.
    length = max(8 - (head[4] ^ 255).bit_length(), 1)
    number = head[4] & (127 if length == 1 else 127 >> length)
    for byte in head[5 : 4 + length]:
        number = number << 6 | byte & 63
    place = 4 + length
    samples = {1: 192, 6: 0, 7: 0}.get(code) if code < 8 else 256 << code - 8
    if 2 <= code <= 5:
        samples = 576 << code - 2
    if not samples:
        if code not in (6, 7):
            return 0
        samples = int.from_bytes(head[place : place + code - 5], 'big') + 1
        place += code - 5
    place += {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
    checksum = 0
    for byte in head[:place]:
        checksum ^= byte
        for _ in range(8):
            checksum = checksum << 1 ^ (0x107 if checksum & 128 else 0)
    if place >= len(head) or checksum != head[place]:
        return 0
    return (number if head[1] & 1 else number * largest) + samples


def skip_tags(file: BinaryIO) -> int:
    """Find the end of the ID3 tags that a file may begin with.

    Args:
        file (BinaryIO): The file.

    Returns:
        int: The byte behind them.
    """
    start = 0
    while True:
        file.seek(start)
        head = file.read(10)
        if head[:3] != b'ID3' or len(head) < 10:
            return start
        # Seven bits in each byte, and a footer if so flagged.
        size = sum((byte & 127) << 7 * i for i, byte in enumerate(head[:5:-1]))
        start += 10 + size + (10 if head[5] & 16 else 0)


def inspect_container(file: BinaryIO, end: int) -> Container:
    """Read what a sound file says of its length.

    Args:
        file (BinaryIO): The file.
        end (int): Size of the file, bytes.

    Returns:
        Container: What it says; nothing for other formats.

    Raises:
        ValueError: If there are several sounds in it.
    """
    start = skip_tags(file)
    file.seek(start)
    magic = file.read(4)
    if magic in (b'.snd', b'dns.'):
        return _inspect_au(file, start, end)
    if magic == b'fLaC':
        return _inspect_flac(file, start, end)
    if magic == b'OggS':
        return _inspect_ogg(file, start, end)
    if magic in FAMILIES:
        return _inspect_chunks(file, start, end, FAMILIES[magic])
    return Container()
