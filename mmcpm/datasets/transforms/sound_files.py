"""Sound files, read in parts.

What is asked for is decoded; of MP3, which no decoder seeks in exactly, also
what stands before it.
"""

import io
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import soundfile

from .audio_containers import inspect_container
from .mp3_frames import inspect_mp3, search_mp3

# Outside of this range a header is damaged, not unusual.
SAMPLE_RATES = (1_000, 768_000)
# Full scale is 1. Floating-point files may exceed it a little, but not like
# 16-bit integers that nobody divided, or damaged bytes.
LARGEST_SAMPLE = 1_000.0
# A file of which more is missing is refused.
TOLERANCE_SECONDS = 0.01
# Samples that are decoded at once where a whole file is read.
BLOCK = 1 << 18
# The number of samples where a FLAC file does not tell it.
UNKNOWN = 2**63 - 1
# Vorbis overlaps blocks of at most this many samples.
BLOCK_OF_VORBIS = 8192


class Stream(soundfile.SoundFile):
    """A decoder that only seeks where it is told to.

    soundfile's seeks after every reading, too.
    """

    def seekable(self) -> bool:
        """Tell soundfile not to seek."""
        return False


class SoundFile:
    """A sound file of which parts are read.

    Args:
        file (BinaryIO): The file, which is closed with it.

    Attributes:
        rate (int): Sample rate in Hz.
        channels (int): Number of channels.
        frames (int): Samples per channel.
        is_plain_wav (bool): Whether it is a WAV file that says how long it
            is, in a form that any program reads.
        is_open (bool): Whether its writer did not tell the length, so that
            nobody knows whether the end is missing.

    Raises:
        ValueError: If the bytes are no sound, or not all of it. The message
            tells what arrived.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, io.SEEK_END)
        if not self.size:
            raise ValueError('the file is empty (0 bytes)')
        self._container = inspect_mp3(file) or inspect_container(
            file, self.size
        )
        try:
            self._open()
        except soundfile.SoundFileError as error:
            if (found := search_mp3(file)) is None:
                raise self._damage(error) from error
            self._container = found
            self._open()
        self.is_open = self._container.is_open
        self.frames = self._decoder.frames
        if self.frames == UNKNOWN:
            self.is_open = True
            self.frames = self._count()
        if not SAMPLE_RATES[0] <= self.rate <= SAMPLE_RATES[1]:
            raise ValueError(
                f'its header tells a sample rate of {self.rate} Hz'
            )
        self._check_whole()
        if not self.frames:
            raise ValueError('it holds no samples')

    def _open(self) -> None:
        """Open the decoder at the first sample."""
        container, file = self._container, self._file
        file.seek(container.start)
        if container.rewrites:
            length = self.size - container.start - container.hidden
            data = bytearray(file.read(length))
            for place, content in container.patches:
                data[place : place + len(content)] = content
            file = io.BytesIO(container.prefix + data)
        self._decoder = Stream(file)
        self.rate = self._decoder.samplerate
        self.channels = self._decoder.channels
        self.is_plain_wav = (
            self._decoder.format in ('WAV', 'WAVEX') and file is self._file
        )
        # Seeking in MPEG streams is approximate.
        self._can_seek = (
            soundfile.SoundFile.seekable(self._decoder)
            and not self._decoder.subtype.startswith('MPEG')
            and self._decoder.frames < UNKNOWN
        )
        self._position = 0

    def _count(self) -> int:
        """Count the samples by decoding them."""
        try:
            while len(self._decode(BLOCK)):
                pass
        except soundfile.SoundFileError as error:
            raise self._damage(error) from error
        return self._position

    def _check_whole(self) -> None:
        """Refuse a file of which more than a moment is missing."""
        present = self.frames / self.rate
        container = self._container
        if container.counts_claimed:
            present *= container.present / container.claimed
        share = container.missing_share
        # Where next to nothing is there, no time can be told.
        missing = share * present if present else share
        if 'FLAC' in self._decoder.format or 'ALAC' in self._decoder.subtype:
            self._check_end()
        if missing > TOLERANCE_SECONDS:
            told = (
                f'{missing:.2f} s of {present + missing:.2f} s of sound are'
                if missing < float('inf')
                else 'its end is'
            )
            raise ValueError(
                f'the file is truncated: {told} missing ({self.size} bytes '
                'arrived)'
            )

    def _check_end(self) -> None:
        """Decode the last samples."""
        tail = max(int(TOLERANCE_SECONDS * self.rate), 1)
        found = self.read(max(self.frames - tail, 0), self.frames)
        if not found.shape[1]:
            raise ValueError(
                f'the file is truncated: its last samples of {self.frames} '
                f'are missing ({self.size} bytes arrived)'
            )

    def _damage(self, error: Exception) -> ValueError:
        """Describe what the decoder refused."""
        reason = str(error).rpartition(': ')[2].rstrip('.').lower()
        if self._container.missing_share:
            reason = 'the file is truncated'
        elif 'lost sync' in reason:
            reason += ': the file is truncated or damaged'
        elif 'fmt ' in reason:
            reason = 'its codec is not supported, or its header is damaged'
        return ValueError(
            f'{self.size} bytes arrived and could not be decoded ({reason})'
        )

    def read(self, start: int, stop: int) -> np.ndarray:
        """Decode a part.

        Args:
            start (int): First sample.
            stop (int): Sample behind the last.

        Returns:
            np.ndarray: Samples, float32 ``[channels, stop - start]``; fewer
            where the sound ends.

        Raises:
            ValueError: If they cannot be decoded, are not finite or out of
                all scale.
        """
        start, stop = max(start, 0), min(stop, self.frames)
        if stop <= start:
            return np.zeros((self.channels, 0), np.float32)
        try:
            first = self._go_to(start)
            samples = self._decode(stop - first)[start - first :]
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise self._damage(error) from error
        _check_samples(samples)
        return np.ascontiguousarray(samples.T)

    def _go_to(self, start: int) -> int:
        """Bring the decoder to a sample, or a little before it."""
        if self._can_seek:
            # A decoder of Ogg that has moved loses its way, and none finds
            # a place within the last page.
            is_ogg = self._container.seekable < float('inf')
            if is_ogg or start != self._position:
                self._open()
                place = min(start, self._container.seekable - BLOCK_OF_VORBIS)
                self._position = self._decoder.seek(max(int(place), 0))
            return self._position
        if start < self._position:
            self._open()
        while self._position < start:
            if not len(self._decode(min(start - self._position, BLOCK))):
                break
        return self._position

    def _decode(self, number: int) -> np.ndarray:
        """Decode the next samples, float32 ``[number, channels]``."""
        samples = self._decoder.read(number, dtype='float32', always_2d=True)
        self._position += len(samples)
        return samples

    def blocks(self) -> Iterator[np.ndarray]:
        """Decode the whole sound in parts, float32 ``[channels, samples]``."""
        for start in range(0, self.frames, BLOCK):
            yield self.read(start, start + BLOCK)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> 'SoundFile':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _check_samples(samples: np.ndarray) -> None:
    """Refuse samples that would spoil a training."""
    largest = np.abs(samples).max(initial=0)
    if not np.isfinite(largest):
        bad = int((~np.isfinite(samples)).any(axis=1).sum())
        raise ValueError(
            f'{bad} of the {len(samples)} samples read are NaN or infinite'
        )
    if largest > LARGEST_SAMPLE:
        raise ValueError(
            f'its largest sample is {largest:.3g}, where full scale is 1'
        )
