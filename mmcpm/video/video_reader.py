"""The pictures of a video file, each with the time at which it is shown."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import cv2
import numpy as np

from .pyav import VideoReadError, import_av, open_container

# Rates above are time bases that a container gives for want of a rate.
LARGEST_RATE = 480
# Where a file tells no rate.
USUAL_RATE = Fraction(25)
# Containers that tell how long their pictures last, and pictures that end
# earlier by more seconds than this were cut off.
TELLING = ('matroska', 'mov', 'avi')
TOLERANCE_SECONDS = 0.5
TURNS = {
    90: cv2.ROTATE_90_COUNTERCLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_CLOCKWISE,
}


@dataclass(frozen=True)
class VideoInfo:
    """What a video file tells of itself.

    Attributes:
        path (str): Path of the file.
        width (int): Width of the pictures as they are shown, pixels.
        height (int): Height of the pictures as they are shown, pixels.
        rate (Fraction): Average number of pictures per second.
        duration (float, optional): Seconds; None if the file does not tell.
        start (Fraction): Time stamp of the first picture, seconds. Times are
            counted from it.
        aspect (Fraction): Width of a pixel, relative to its height.
        audio_tracks (tuple[str, ...]): Sound tracks, each with its codec,
            channels and rate.
    """

    path: str
    width: int
    height: int
    rate: Fraction
    duration: float | None
    start: Fraction
    aspect: Fraction
    audio_tracks: tuple[str, ...]


class VideoFrame:
    """A picture of a video, converted when it is looked at.

    Args:
        frame (av.VideoFrame): Decoded picture.
        index (int): Number of the picture in the video, from 0.
        time (float): Seconds after the first picture.
        size (tuple[int, int]): Width and height in pixels, as it is shown.
    """

    def __init__(
        self, frame: Any, index: int, time: float, size: tuple[int, int]
    ) -> None:
        self._frame, self._size = frame, size
        self.index, self.time = index, time

    @property
    def image(self) -> np.ndarray:
        """np.ndarray: BGR, uint8, shape (H, W, 3), turned as it is shown."""
        image = self._frame.to_ndarray(format='bgr24')
        turn = turn_of(self._frame)
        if turn:
            image = cv2.rotate(image, TURNS[turn])
        if image.shape[1::-1] != self._size:
            image = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        return image

    @property
    def num_bytes(self) -> int:
        """int: Memory that the picture takes before it is converted."""
        return sum(plane.buffer_size for plane in self._frame.planes)


class VideoReader:
    """Reads the pictures of a video, one after another.

    The first picture is decoded at once, so that a file without one is
    refused before any work. Damaged packets are passed over and counted.

    Args:
        path (str): Path of the file.

    Attributes:
        info (VideoInfo): What the file tells of itself.
        num_broken (int): Packets that could not be decoded, so far.
        is_cut (bool): Whether the file ended within its data.

    Raises:
        VideoReadError: If the file is no video, or has no picture.
    """

    def __init__(self, path: str) -> None:
        self._path = str(path)
        self.num_broken, self.is_cut = 0, False
        self._container = open_container(self._path)
        try:
            self._stream = self._find_stream()
            self._frames = self._decode()
            self._first = next(self._frames, None)
            if self._first is None:
                raise VideoReadError(self._tell_empty())
            self.info = self._read_info()
        except BaseException:
            self.close()
            raise

    def _find_stream(self) -> Any:
        """Find the stream of pictures; cover art of a sound is none."""
        av = import_av()
        cover = av.stream.Disposition.attached_pic
        streams = [
            stream
            for stream in self._container.streams.video
            if not stream.disposition & cover
        ]
        if not streams:
            held = (
                'no picture, only sound'
                if self._container.streams.audio
                else 'neither picture nor sound (zero frames)'
            )
            raise VideoReadError(
                f'{self._path} has {held}. Expected a video; a folder of '
                'frames and a sound file are taken, too'
            )
        if streams[0].codec_context is None:
            raise VideoReadError(
                f'{self._path}: the codec of its pictures is not known to '
                'this FFmpeg. Convert it: ffmpeg -i FILE out.mp4'
            )
        streams[0].thread_type = 'AUTO'
        return streams[0]

    def _tell_empty(self) -> str:
        """Describe a file of which no picture could be decoded."""
        if self.num_broken:
            return (
                f'{self._path}: none of its pictures can be decoded '
                f'({self.num_broken} damaged packets). Fetch the file again'
            )
        return f'{self._path} holds no picture (zero frames)'

    def _read_info(self) -> VideoInfo:
        """Gather what is known before the second picture is decoded."""
        frame, stream = self._first, self._stream
        width, height = frame.width, frame.height
        aspect = stream.sample_aspect_ratio or Fraction(1)
        if not aspect > 0:
            aspect = Fraction(1)
        if turn_of(frame) in (90, 270):
            width, height, aspect = height, width, 1 / aspect
        rate = stream.average_rate or stream.guessed_rate or USUAL_RATE
        duration = None
        if stream.duration:
            duration = float(stream.duration * stream.time_base)
        elif self._container.duration:
            duration = self._container.duration / 1e6
        return VideoInfo(
            self._path,
            width,
            height,
            rate if 0 < rate <= LARGEST_RATE else USUAL_RATE,
            duration,
            Fraction(0)
            if frame.pts is None
            else frame.pts * Fraction(frame.time_base),
            aspect,
            tuple(map(tell_track, self._container.streams.audio)),
        )

    def _decode(self) -> Iterator[Any]:
        """Decode all pictures, and pass over what cannot be decoded."""
        av = import_av()
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:
                # The file ends within a packet, or its index is wrong.
                self.is_cut = True
                return
            if packet is None:
                return
            if not packet.size and packet.pts is not None:
                # Theora repeats a picture so; PyAV would end the decoder.
                continue
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self.num_broken += 1
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self.num_broken += 1
                yield frame

    def __iter__(self) -> Iterator[VideoFrame]:
        """Read the pictures, once.

        Yields:
            VideoFrame: The next picture. Times grow from one to the next.
        """
        size = self.info.width, self.info.height
        step = float(1 / self.info.rate)
        frame, index, time = self._first, 0, 0.0
        told = self._told_seconds()
        while frame is not None:
            yield VideoFrame(frame, index, time, size)
            shown = step
            if frame.duration:
                shown = float(frame.duration * Fraction(frame.time_base))
            frame, index = next(self._frames, None), index + 1
            if frame is None:
                # FFmpeg takes the end of a file that was cut for its end.
                self.is_cut |= time + shown < told - TOLERANCE_SECONDS
                return
            stamp = None
            if frame.pts is not None:
                stamp = float(
                    frame.pts * Fraction(frame.time_base) - self.info.start
                )
            # Without a time stamp, or with one that steps back.
            time = stamp if stamp is not None and stamp > time else time + step

    def _told_seconds(self) -> float:
        """Length of the pictures alone, as the file tells; 0 if not."""
        name = self._container.format.name
        if not any(kind in name for kind in TELLING):
            return 0.0
        stream = self._stream
        if stream.duration:
            return float(stream.duration * stream.time_base)
        # Such as 00:01:02.500000000.
        told = stream.metadata.get('DURATION', '')
        with contextlib.suppress(ValueError):
            hours, minutes, seconds = map(float, told.split(':'))
            return 3600 * hours + 60 * minutes + seconds
        return 0.0

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def __enter__(self) -> 'VideoReader':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def turn_of(frame: Any) -> int:
    """Tell how a picture has to be turned to be seen as it is meant.

    Args:
        frame (av.VideoFrame): Decoded picture.

    Returns:
        int: Degrees counterclockwise: 0, 90, 180 or 270.
    """
    return round(frame.rotation / 90) * 90 % 360


def tell_track(stream: Any) -> str:
    """Describe a sound track for a message."""
    context = stream.codec_context
    if context is None:
        return 'unknown codec'
    language = stream.metadata.get('language', 'und')
    known = '' if language == 'und' else f', {language}'
    return (
        f'{context.name}, {context.channels} channels, '
        f'{context.sample_rate} Hz{known}'
    )
