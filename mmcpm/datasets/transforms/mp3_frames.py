"""The frames of an MP3 file, each a fixed number of samples.

An MP3 file need not say how long it is, and decoders guess: from the size and
the bit rate of its first frame, which is wrong by any factor where the bit
rate changes, and so is where they seek to. Here the frames are counted, and a
part is decoded from a short file that is made of its frames.
"""

import functools
import io
import re
from array import array
from typing import BinaryIO

import numpy as np
import soundfile

from .audio_containers import skip_tags

# Bit rates in kbit/s of layer III, by version: MPEG 1, and 2 with 2.5.
BIT_RATES = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
SAMPLE_RATES = (44100, 48000, 32000)
# A frame may lean on 511 bytes of the frames before it, and on the samples
# of one: more than enough at every bit rate.
FRAMES_BEFORE = 32
# Layer III begins so. Among other bytes, that many frames in a row are none
# by chance.
SYNC = re.compile(rb'\xff[\xe2\xe3\xf2\xf3\xfa\xfb]')
FRAMES_IN_A_ROW = 4
# Names of tags, which players step over.
TAGS = (b'ID3', b'TAG', b'APETAGEX', b'LYRICSBEGIN')
# How much may stand before the first frame, pictures of the sleeve included.
SEARCHED = 1 << 22
# How much is looked at in one piece, and more than frames in a row take.
PIECE, ROW_BYTES = 1 << 18, 1 << 13


class MP3Head:
    """The header of a frame.

    Args:
        head (bytes): Its first four bytes.

    Attributes:
        size (int): Bytes of the frame; 0 if this is no header.
    """

    def __init__(self, head: bytes) -> None:
        self.size, self.kind = 0, None
        if len(head) < 4 or head[0] != 255 or head[1] & 0xE6 != 0xE2:
            return
        version, kind = head[1] >> 3 & 3, head[2] >> 2 & 3
        number = head[2] >> 4
        if version == 1 or kind == 3 or number in (0, 15):
            return
        low = version != 3
        self.samples = 576 if low else 1152
        self.rate = (
            SAMPLE_RATES[kind]
            >> (0, 1, 2)[0 if not low else 1 if version == 2 else 2]
        )
        self.channels = 1 if head[3] >> 6 == 3 else 2
        self.size = self.samples // 8 * BIT_RATES[low][
            number
        ] * 1000 // self.rate + (head[2] >> 1 & 1)
        # What all frames of a stream share.
        self.kind = (version, kind, self.channels)
        side = {(0, 1): 17, (0, 2): 32, (1, 1): 9, (1, 2): 17}
        self.side = side[int(low), self.channels]


# Heads repeat, and there are many in a long file.
read_head = functools.lru_cache(1 << 12)(MP3Head)


class MP3Frames:
    """Where the frames of an MP3 file are.

    Args:
        file (BinaryIO): The file.
        start (int): Byte of the first frame.
        end (int): Size of the file.

    Attributes:
        rate (int): Sample rate in Hz.
        channels (int): Number of channels.
        samples (int): Samples per channel, without what the encoder added.
        missing_samples (float): Samples that should follow and do not.

    Raises:
        ValueError: If frames in the middle are damaged or of another kind.
    """

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        file.seek(start)
        data = file.read(PIECE)
        self.head, self.start, self.end = data[:4], start, end
        first = read_head(self.head)
        self.rate, self.channels = first.rate, first.channels
        self.per_frame, self.side = first.samples, first.side
        announced, self.delay, padding = self._read_tag(data, first)
        places, stops, cut = array('q'), array('q'), False
        place = piece = start
        while place is not None:
            if place + 4 > piece + len(data) and place < end:
                piece = file.seek(place)
                data = file.read(PIECE)
            head = read_head(data[place - piece : place - piece + 4])
            if head.kind != first.kind:
                sizes = np.array(stops) - np.array(places)
                place = self._next_run(file, place, sizes.min())
                continue
            if place + head.size > end:
                cut = True
                break
            places.append(place)
            place += head.size
            stops.append(place)
        self.places, self.stops = np.array(places), np.array(stops)
        # The first frame may hold the tag in place of samples.
        self.first = int(announced is not None)
        number = len(places) - self.first
        self.samples = max(number * self.per_frame - self.delay - padding, 0)
        self.missing_samples = 0
        if announced and announced > number:
            # Some encoders count the frame of the tag.
            if cut or announced > number + 1:
                total = announced * self.per_frame - self.delay - padding
                self.samples = min(number * self.per_frame - self.delay, total)
                self.missing_samples = total - self.samples
        elif cut and not announced:
            self.missing_samples = self.per_frame

    def _next_run(
        self, file: BinaryIO, place: int, smallest: int
    ) -> int | None:
        """Find frames behind bytes that are none.

        Fewer bytes than the smallest frame has do not stand for a lost one.
        """
        found = find_run(file, place, self.end)
        if found is None:
            return None
        file.seek(found)
        if read_head(file.read(4)).kind != read_head(self.head).kind:
            raise ValueError(
                'its sample rate or number of channels changes at byte '
                f'{found}; join such parts with a sound editor'
            )
        file.seek(place)
        between = file.read(found - place)
        lost = len(between) >= smallest and any(between)
        if lost and not between.startswith(TAGS):
            raise ValueError(
                f'the file is damaged: the {found - place} bytes from byte '
                f'{place} on are no MP3 frames'
            )
        return found

    @staticmethod
    def _read_tag(data: bytes, head: MP3Head) -> tuple[int | None, int, int]:
        """Read what encoders tell in the first frame.

        Returns:
            tuple[int | None, int, int]: Number of frames (0 if not told; None
            if there is no such frame), and samples that the encoder added
            at the start and at the end.
        """
        frame = data[: head.size]
        place = 4 + head.side
        if frame[36:40] == b'VBRI':
            return int.from_bytes(frame[50:54], 'big'), 0, 0
        if frame[place : place + 4] not in (b'Xing', b'Info'):
            return None, 0, 0
        flags = frame[place + 7]
        number, place = 0, place + 8
        if flags & 1:
            number = int.from_bytes(frame[place : place + 4], 'big')
        place += 4 * (flags & 1) + 2 * (flags & 2) + 25 * (flags & 4)
        place += (flags & 8) // 2
        if len(frame) < place + 24 or not frame[place : place + 4].isalnum():
            return number, 0, 0
        added = int.from_bytes(frame[place + 21 : place + 24], 'big')
        # Decoders are late by 529 samples.
        return number, (added >> 12) + 529, max((added & 4095) - 529, 0)

    def read(self, file: BinaryIO, start: int, stop: int) -> np.ndarray:
        """Decode a part.

        Args:
            file (BinaryIO): The file.
            start (int): First sample.
            stop (int): Sample behind the last.

        Returns:
            np.ndarray: Samples, float32 ``[stop - start, channels]``.
        """
        start, stop = start + self.delay, stop + self.delay
        low = self._frame_before(file, start // self.per_frame)
        high = -(-stop // self.per_frame) + 2
        part = slice(low + self.first, high + self.first)
        places, stops = self.places[part], self.stops[part]
        file.seek(int(places[0]))
        data = file.read(int(stops[-1] - places[0]))
        frames = [
            data[begin:end]
            for begin, end in zip(
                places - places[0], stops - places[0], strict=True
            )
        ]
        high = low + len(frames)
        data = b''.join([self._announce(len(frames)), *self._lone(frames)])
        with soundfile.SoundFile(io.BytesIO(data)) as sound:
            samples = sound.read(dtype='float32', always_2d=True)
        # The decoder leaves out the samples that it is late by.
        skipped = (high - low) * self.per_frame - len(samples)
        start -= low * self.per_frame + skipped
        stop -= low * self.per_frame + skipped
        before = np.zeros((max(-start, 0), samples.shape[1]), np.float32)
        return np.concatenate([before, samples[max(start, 0) : stop]])

    def _leans(self, frame: bytes) -> int:
        """Read on how many bytes of the frames before it a frame leans."""
        side = 4 if frame[1] & 1 else 6
        # Nine bits in MPEG 1, else eight.
        value = int.from_bytes(frame[side : side + 2].ljust(2, b'\0'), 'big')
        return value >> (8 if self.per_frame == 576 else 7)

    def _frame_before(self, file: BinaryIO, wanted: int) -> int:
        """Choose a frame to begin with: one that leans on none before it."""
        low = max(wanted - FRAMES_BEFORE, 0)
        for frame in range(wanted - 2, low, -1):
            file.seek(int(self.places[frame + self.first]))
            if not self._leans(file.read(8)):
                return frame
        return low

    def _lone(self, frames: list[bytes]) -> list[bytes]:
        """Silence frames that lean on some before the first.

        The decoder would write a line of complaint about each.
        """
        result, before = [], 0
        for frame in frames:
            if self._leans(frame) > before:
                # No checksum; it leans on what there is, and uses none of it.
                head = bytes([frame[0], frame[1] | 1, *frame[2:4]])
                leans = before << (8 if self.per_frame == 576 else 7)
                side = leans.to_bytes(2, 'big').ljust(self.side, b'\0')
                frame = head + side + frame[4 + self.side :]
            before += len(frame) - (4 if frame[1] & 1 else 6) - self.side
            result.append(frame)
        return result

    def _announce(self, number: int) -> bytes:
        """Make a frame that tells the number of those that follow."""
        # 128 kbit/s; the other fields as in the stream.
        code = BIT_RATES[self.per_frame == 576].index(128)
        head = bytes(
            [
                255,
                self.head[1] | 1,
                code << 4 | self.head[2] & 12,
                self.head[3],
            ]
        )
        tag = b'Xing' + (1).to_bytes(4, 'big') + number.to_bytes(4, 'big')
        frame = head + bytes(self.side) + tag
        return frame.ljust(MP3Head(head).size, b'\0')


def find_mp3_frames(file: BinaryIO, end: int) -> MP3Frames | None:
    """Look for MP3 frames.

    Args:
        file (BinaryIO): The file.
        end (int): Size of the file, bytes.

    Returns:
        MP3Frames | None: Where they are; None if the file is of another
        format.
    """
    start = skip_tags(file)
    file.seek(start)
    first = read_head(file.read(4))
    if not first.size:
        return None
    file.seek(start + first.size)
    if start + first.size + 4 <= end and not read_head(file.read(4)).size:
        return None
    return MP3Frames(file, start, end)


def search_mp3_frames(file: BinaryIO, end: int) -> MP3Frames | None:
    """Look for MP3 frames behind bytes that players step over.

    Args:
        file (BinaryIO): The file, which is of no known format.
        end (int): Its size in bytes.

    Returns:
        MP3Frames | None: Where they are; None if there are none.
    """
    start = skip_tags(file)
    found = find_run(file, start, min(start + SEARCHED, end))
    return None if found is None else MP3Frames(file, found, end)


def find_run(file: BinaryIO, start: int, end: int) -> int | None:
    """Find several MP3 frames in a row.

    Args:
        file (BinaryIO): The file.
        start (int): The first byte to look at.
        end (int): The byte behind the last.

    Returns:
        int | None: Where they begin, or None if there are none.
    """
    for piece in range(start, end, PIECE):
        file.seek(piece)
        data = file.read(min(PIECE + ROW_BYTES, end - piece))
        for found in SYNC.finditer(data, 0, PIECE + 1):
            place, number = found.start(), 0
            first = read_head(data[place : place + 4])
            while number < FRAMES_IN_A_ROW and first.size:
                head = read_head(data[place : place + 4])
                if head.kind != first.kind:
                    break
                number, place = number + 1, place + head.size
            if number == FRAMES_IN_A_ROW:
                return piece + found.start()
    return None
