"""The sound of a video as a window that moves along, in constant memory."""

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from .pyav import VideoReadError, import_av, open_container
from .video_reader import tell_track

# What is behind the last sample, until the end of the sound is known.
UNKNOWN_LENGTH = 1 << 62
# Packets whose time stamp is off by less follow each other without a gap:
# some containers count in milliseconds or in packets.
TOLERANCE_SECONDS = 0.04
# Left and right of a downmix of front, center and surround stay in scale.
DOWNMIX_SCALE = 1 / (1 + 2**0.5)


class WaveformSound:
    """A waveform in memory, read as a file is.

    Args:
        waveform (np.ndarray): Samples, float32, shape (channels, samples).
        rate (int): Sample rate, Hz.
    """

    def __init__(self, waveform: np.ndarray, rate: int) -> None:
        self._waveform = waveform
        self.rate = rate
        self.channels, self.frames = waveform.shape

    def read(self, start: int, stop: int) -> np.ndarray:
        """Take a part, as :meth:`SoundStream.read` does."""
        return self._waveform[:, max(start, 0) : max(stop, 0)]

    def close(self) -> None:
        """Do nothing: there is no file."""


class SoundStream:
    """Sound track of a video, decoded as far as it is asked for.

    Sample 0 is the one that is heard when the first picture is shown.
    Nothing but the samples from the latest ``start`` on is kept. Where the
    track pauses, or begins late, there are zeros. Has the interface of
    :class:`mmcpm.datasets.transforms.sound_files.SoundFile`, so that the
    datasets' own functions resample and cut it.

    Args:
        path (str): Path of the file.
        track (int): Number of the sound track, from 0. Defaults to 0.
        start (Fraction): Time stamp of sample 0, seconds. Defaults to 0.
        max_channels (int, optional): Sound of more channels is mixed down to
            left and right. Defaults to None: all are kept.

    Attributes:
        rate (int): Sample rate, Hz.
        channels (int): Number of channels.
        num_broken (int): Packets that could not be decoded, so far.

    Raises:
        VideoReadError: If there is no such track, or nothing in it.
    """

    def __init__(
        self,
        path: str,
        track: int = 0,
        start: Fraction = Fraction(0),
        max_channels: int | None = None,
    ) -> None:
        self._path, self._track, self._start = str(path), track, start
        self._max_channels = max_channels
        self._open()

    def _open(self) -> None:
        """Open the file at its beginning."""
        self._container = open_container(self._path)
        try:
            streams = self._container.streams.audio
            if not 0 <= self._track < len(streams):
                raise VideoReadError(self._tell_tracks(streams))
            self._stream = streams[self._track]
            if self._stream.codec_context is None:
                raise VideoReadError(
                    f'{self._path}: the codec of its sound is not known to '
                    'this FFmpeg. Convert it: ffmpeg -i FILE out.mp4'
                )
            self.num_broken, self.frames = 0, UNKNOWN_LENGTH
            self._chunks: deque[tuple[int, np.ndarray]] = deque()
            self._first, self._next = 0, None
            self._resampler = None
            self.rate = self.channels = 0
            self._decoded = self._decode()
            self._advance()
        except BaseException:
            self.close()
            raise
        if not self.rate:
            raise VideoReadError(
                f'{self._path}: nothing of sound track {self._track} '
                f'({tell_track(self._stream)}) can be decoded'
            )

    def _tell_tracks(self, streams: Any) -> str:
        """Describe which tracks there are."""
        if not streams:
            return f'{self._path} has no sound'
        listed = '; '.join(
            f'{i}: {tell_track(s)}' for i, s in enumerate(streams)
        )
        return (
            f'{self._path} has no sound track {self._track}. There are '
            f'{len(streams)}: {listed}'
        )

    def _decode(self) -> Iterator[tuple[int, np.ndarray]]:
        """Decode the track.

        Yields:
            tuple[int, np.ndarray]: Place of the first sample, and samples,
            float32 ``[channels, samples]``.
        """
        av = import_av()
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:
                self.num_broken += 1
                return
            if packet is None:
                return
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self.num_broken += 1
                continue
            for frame in frames:
                if frame.samples:
                    yield from self._convert(frame)

    def _convert(self, frame: Any) -> Iterator[tuple[int, np.ndarray]]:
        """Bring a decoded frame to planes of float32 at the first rate."""
        if not self.rate:
            self.rate = frame.sample_rate
            channels = frame.layout.nb_channels
            self._mix = bool(self._max_channels) and (
                channels > self._max_channels
            )
            self.channels = 2 if self._mix else channels
            self._layout = 'stereo' if self._mix else frame.layout.name
        place = None
        if frame.pts is not None:
            time = frame.pts * Fraction(frame.time_base) - self._start
            place = round(time * self.rate)
        for part in self._resample(frame):
            samples = np.asarray(part.to_ndarray(), np.float32)
            samples = samples.reshape(self.channels, -1)
            if self._mix:
                samples = samples * np.float32(DOWNMIX_SCALE)
            if not np.isfinite(samples).all():
                self.num_broken += 1
                samples = np.nan_to_num(samples, posinf=0.0, neginf=0.0)
            yield self._place(place, samples.shape[1]), samples
            place = None

    def _resample(self, frame: Any) -> list:
        """Convert the format, and what changes within a track."""
        av = import_av()
        for _ in range(2):
            if self._resampler is None:
                self._resampler = av.AudioResampler(
                    'fltp', self._layout, self.rate
                )
            try:
                return self._resampler.resample(frame)
            except ValueError:
                # Rate or channels changed within the track.
                self._resampler = None
        return []

    def _place(self, place: int | None, number: int) -> int:
        """Tell where samples belong, and where those after them do."""
        if self._next is not None and (
            place is None
            or abs(place - self._next) <= TOLERANCE_SECONDS * self.rate
        ):
            place = self._next
        place = 0 if place is None else place
        self._next = place + number
        return place

    def _advance(self) -> bool:
        """Decode and keep some more; False at the end."""
        found = next(self._decoded, None)
        if found is None:
            self.frames = max(self._next or 0, 0)
            return False
        place, samples = found
        if place + samples.shape[1] > self._first:
            self._chunks.append(found)
        return True

    def read(self, start: int, stop: int) -> np.ndarray:
        """Read a part.

        Going back behind an earlier ``start`` decodes from the beginning.

        Args:
            start (int): First sample.
            stop (int): Sample behind the last.

        Returns:
            np.ndarray: Samples, float32 ``[channels, stop - start]``; fewer
            where the sound ends.
        """
        start = max(start, 0)
        if stop <= start:
            return np.zeros((self.channels, 0), np.float32)
        if start < self._first:
            self.close()
            self._open()
        self._first = start
        while self._chunks and _end(self._chunks[0]) <= start:
            self._chunks.popleft()
        while (self._next or 0) < stop and self.frames == UNKNOWN_LENGTH:
            self._advance()
        stop = min(stop, self.frames)
        part = np.zeros((self.channels, max(stop - start, 0)), np.float32)
        for place, samples in self._chunks:
            low = max(place, start)
            high = min(place + samples.shape[1], stop)
            if low < high:
                part[:, low - start : high - start] = samples[
                    :, low - place : high - place
                ]
        return part

    def reopen(self) -> 'SoundStream':
        """Open the same sound once more, with all its channels.

        Returns:
            SoundStream: At its beginning; to be closed by itself.
        """
        return SoundStream(self._path, self._track, self._start)

    def close(self) -> None:
        """Close the file."""
        self._container.close()


def _end(chunk: tuple[int, np.ndarray]) -> int:
    """Sample behind the last of a chunk."""
    return chunk[0] + chunk[1].shape[1]
