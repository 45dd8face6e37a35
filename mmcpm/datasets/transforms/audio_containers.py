"""Length of a sound file, as its container states it.

libsndfile takes what is there for the whole: it reads a WAV file that was cut
short without a word, and one whose writer could not go back to fill in the
length not at all. Here the sizes are read and compared with the file.
"""

import itertools
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

# Programs that write into a pipe give the largest size, or zero; some
# subtract what stands before the samples.
OPEN_SIZES = (2**31, 2**32)
OPEN_MARGIN = 1 << 16
# The head of an Ogg page is never larger.
OGG_HEAD_BYTES = 27 + 255
# How streams of sound in Ogg begin.
OGG_SOUNDS = (b'\x01vorbis', b'OpusHead', b'\x7fFLAC', b'Speex')


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
        prefix (bytes): Bytes to be read before ``start``.
        hidden (int): Bytes at the end of the file that are not to be read.
        seekable (float): Position from which on decoders cannot seek.
        counts_claimed (bool): Whether decoders count what is missing.
    """

    start: int = 0
    claimed: float = 0
    present: float = 0
    is_open: bool = False
    patches: tuple[tuple[int, bytes], ...] = ()
    prefix: bytes = b''
    hidden: int = 0
    seekable: float = float('inf')
    counts_claimed: bool = False

    @property
    def rewrites(self) -> bool:
        """bool: Whether other bytes are to be read than are there."""
        return bool(self.start or self.patches or self.prefix or self.hidden)

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
    """How a family of containers writes its parts."""

    # Name and size, as struct describes them, and the byte of the first part.
    head: str
    first: int
    # The part that holds the samples, and bytes in it before them.
    samples: bytes
    before: int = 0
    # Parts begin at multiples of it.
    align: int = 1
    # Whether the size counts name and size, too.
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
    """A page of Ogg: a part of one of the streams in a file."""

    # Where it ends; infinite if the file ends in its head.
    stop: float
    # 2 for the first page of a stream, 4 for the last.
    flags: int
    # Of its stream up to its end; -1 if not told.
    samples: int
    serial: bytes
    # Its first bytes, in a first page the format.
    name: bytes


def _list_pages(file: BinaryIO, place: int) -> Iterator[Page]:
    """List the pages of a file, up to what is none."""
    while True:
        file.seek(place)
        data = file.read(OGG_HEAD_BYTES + 8)
        if data[:4] != b'OggS':
            return
        head = data.ljust(27, b'\0')
        content = 27 + head[26]
        stop = place + content + sum(data[27:content])
        is_whole = len(data) >= content
        yield Page(
            stop if is_whole else float('inf'),
            head[5],
            int.from_bytes(
                data[6:14].ljust(8, b'\xff'), 'little', signed=True
            ),
            head[14:18],
            data[content : content + 8],
        )
        place = stop


def _inspect_ogg(file: BinaryIO, start: int, end: int) -> Container:
    """Inspect the pages, which count samples and mark the end."""
    pages = list(_list_pages(file, start))
    streams = list(itertools.takewhile(lambda page: page.flags & 2, pages))
    if not streams:
        return Container(start)
    if any(page.flags & 2 for page in pages[len(streams) :]):
        raise ValueError(
            'it holds several sounds one after another (chained Ogg), of '
            'which decoders read the first only; join them with a sound editor'
        )
    # Beside the sound, there may be pictures or text.
    sounds = [page for page in streams if page.name.startswith(OGG_SOUNDS)]
    serial = (sounds or streams)[0].serial
    whole = [p for p in pages if p.serial == serial and p.stop <= end]
    counts = [page.samples for page in whole if page.samples >= 0] or [0]
    present, last = counts[-1], pages[-1]
    # What lies in the last page cannot be sought.
    seekable = max((n for n in counts if n < present), default=0)
    claimed, is_open = present, False
    if not whole or not whole[-1].flags & 4:
        is_open = last.stop == end
        if (
            last.stop > end
            and last.serial == serial
            and last.samples > present
        ):
            claimed = last.samples
        elif not is_open:
            claimed = float('inf')
    return Container(start, claimed, present, is_open, seekable=seekable)


def skip_tags(file: BinaryIO) -> int:
    """Find the byte behind the ID3 tags that a file may begin with."""
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
    if magic == b'OggS':
        return _inspect_ogg(file, start, end)
    if magic in FAMILIES:
        return _inspect_chunks(file, start, end, FAMILIES[magic])
    return Container(start)
