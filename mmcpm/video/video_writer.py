"""A video file that is written picture by picture, with a sound."""

import contextlib
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from mmcpm.utils.errors import UsageError
from mmcpm.utils.io import PartialFile

from .pyav import import_av

# Codecs of pictures and sound by the end of the file's name; the first one
# that this FFmpeg has is taken.
H264 = ('libx264', 'libopenh264', 'mpeg4')
CONTAINERS = {
    '.mp4': (H264, ('aac',)),
    '.mov': (H264, ('aac',)),
    '.mkv': (H264, ('aac',)),
    '.webm': (('libvpx-vp9', 'libvpx'), ('libopus', 'libvorbis')),
}
# Of time stamps: a second has whole numbers of them at all usual rates.
TIME_BASE = Fraction(1, 90000)
RATES = {
    'aac': (
        96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000,
        11025, 8000,
    ),
    'libopus': (48000,),
}  # fmt: skip
LAYOUTS = {1: 'mono', 2: 'stereo', 6: '5.1'}
USUAL_SOUND_RATE = 48000
SOUND_BLOCK = 4096
GROUP_SECONDS = 2
OPTIONS = {
    # Without pictures that wait for later ones, the first has time 0.
    'libx264': {'preset': 'veryfast', 'crf': '20', 'bf': '0'},
    'libvpx-vp9': {'deadline': 'realtime', 'cpu-used': '6', 'crf': '32'},
}


class Sound(Protocol):
    """Sound that can be read in parts, such as SoundStream."""

    rate: int
    channels: int

    def read(self, start: int, stop: int) -> np.ndarray:
        """Read samples, float32 ``[channels, stop - start]``, or fewer."""


def check_video_name(path: str | Path, option: str) -> None:
    """Refuse the name of a video that cannot be written.

    Args:
        path (str | Path): The name.
        option (str): The option that gives it, for the message.

    Raises:
        UsageError: If its end is none of a known container.
    """
    if Path(path).suffix.lower() not in CONTAINERS:
        raise UsageError(
            f'{option} {path}: expected a name that ends with '
            f'{", ".join(CONTAINERS)}'
        )


class VideoWriter:
    """Writes pictures at their times, and a sound beside them.

    The sound is encoded as far as the pictures are, so that memory does not
    grow. The file is hidden until :meth:`close` names it; what
    :meth:`abort` leaves can be played as far as it goes.

    Args:
        path (str | Path): Name of the video, see ``CONTAINERS``.
        size (tuple[int, int]): Width and height of the pictures, in pixels.
        rate (Fraction): Pictures per second, roughly: each has its time.
        sound (Sound, optional): What is heard from time 0 on.
        aspect (Fraction): Width of a pixel, relative to its height.

    Raises:
        UsageError: If the container is not known.
    """

    def __init__(
        self,
        path: str | Path,
        size: tuple[int, int],
        rate: Fraction,
        sound: Sound | None = None,
        aspect: Fraction = Fraction(1),
    ) -> None:
        check_video_name(path, 'video')
        av = import_av()
        self._file = PartialFile(path)
        self._sound, self._samples, self._stamp = sound, 0, -1
        # Codecs take pairs of pixels.
        self._padding = size[1] % 2, size[0] % 2
        self._size = size
        suffix = Path(path).suffix.lower()
        options = {}
        if suffix in ('.mp4', '.mov'):
            # Playable up to where it was interrupted; closed as an ordinary
            # file.
            # The index waits for both streams: it tells that the sound, of
            # which the encoder needs some samples first, begins before 0.
            options['movflags'] = 'hybrid_fragmented+delay_moov'
        self._container = av.open(str(self._file.path), 'w', options=options)
        try:
            codecs = CONTAINERS[suffix]
            self._video = self._add_pictures(codecs[0], rate, aspect)
            self._audio = self._add_sound(codecs[1])
            self._container.start_encoding()
        except BaseException:
            self._release()
            self._file.discard()
            raise

    def _add_pictures(
        self, codecs: tuple[str, ...], rate: Fraction, aspect: Fraction
    ) -> Any:
        """Add the stream of pictures."""
        name = first_codec(codecs)
        stream = self._container.add_stream(
            name, rate=rate, options=dict(OPTIONS.get(name, {}))
        )
        stream.width = self._size[0] + self._padding[1]
        stream.height = self._size[1] + self._padding[0]
        stream.pix_fmt = 'yuv420p'
        # An interrupted file can be played up to its last whole group.
        stream.codec_context.gop_size = max(1, round(GROUP_SECONDS * rate))
        stream.codec_context.time_base = TIME_BASE
        if aspect != 1:
            stream.codec_context.sample_aspect_ratio = aspect
        return stream

    def _add_sound(self, codecs: tuple[str, ...]) -> Any:
        """Add the stream of the sound."""
        if self._sound is None:
            return None
        name = first_codec(codecs)
        rate = self._sound.rate
        if rate not in RATES.get(name, (rate,)):
            rate = USUAL_SOUND_RATE
        return self._container.add_stream(
            name,
            rate=rate,
            layout=LAYOUTS.get(self._sound.channels, 'stereo'),
        )

    def write(self, image: np.ndarray, time: float) -> None:
        """Add a picture.

        Args:
            image (np.ndarray): BGR, uint8, shape (H, W, 3).
            time (float): When it is shown, in seconds; later than the one
                before.
        """
        av = import_av()
        if any(self._padding):
            bottom, right = self._padding
            image = cv2.copyMakeBorder(
                image, 0, bottom, 0, right, cv2.BORDER_REPLICATE
            )
        frame = av.VideoFrame.from_ndarray(
            np.ascontiguousarray(image), format='bgr24'
        )
        self._stamp = max(round(time / TIME_BASE), self._stamp + 1)
        frame.pts, frame.time_base = self._stamp, TIME_BASE
        self._container.mux(self._video.encode(frame))
        self._write_sound(time)

    def _write_sound(self, until: float) -> bool:
        """Encode the sound up to a time; False where it ends before."""
        if self._sound is None:
            return False
        av = import_av()
        rate, channels = self._sound.rate, self._sound.channels
        while self._samples < until * rate:
            block = self._sound.read(
                self._samples, self._samples + SOUND_BLOCK
            )
            if not block.shape[1]:
                return False
            layout = LAYOUTS.get(channels)
            if layout is None:
                block = np.repeat(block.mean(0, keepdims=True), 2, 0)
                layout = 'stereo'
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(block), format='fltp', layout=layout
            )
            frame.sample_rate, frame.pts = rate, self._samples
            frame.time_base = Fraction(1, rate)
            self._container.mux(self._audio.encode(frame))
            self._samples += block.shape[1]
        return True

    def close(self) -> Path:
        """Write the rest of the sound, and give the file its name.

        Returns:
            Path: The name.
        """
        time = self._samples
        while self._write_sound(time):
            time += 1
        self._end()
        return self._file.finish()

    def abort(self) -> Path | None:
        """Name what there is as partial; remove it if it cannot be played.

        Returns:
            Path | None: The name, such as ``out.partial.mp4``.
        """
        av = import_av()
        if self._stamp < 0:
            self._release()
            self._file.discard()
            return None
        with contextlib.suppress(OSError, ValueError, av.FFmpegError):
            self._end()
        self._release()
        if not is_playable(self._file.path):
            self._file.discard()
            return None
        return self._file.keep()

    def _end(self) -> None:
        """Write what the encoders hold back, and the index."""
        for stream in (self._video, self._audio):
            if stream is not None:
                self._container.mux(stream.encode(None))
        self._container.close()

    def _release(self) -> None:
        """Close the file, whatever is in it."""
        av = import_av()
        with contextlib.suppress(OSError, ValueError, av.FFmpegError):
            self._container.close()


def first_codec(names: tuple[str, ...]) -> str:
    """Choose the first codec that this FFmpeg has.

    Args:
        names (tuple[str, ...]): Names of encoders.

    Returns:
        str: One of them.

    Raises:
        UsageError: If it has none.
    """
    av = import_av()
    for name in names:
        with contextlib.suppress(ValueError, av.FFmpegError):
            av.codec.Codec(name, 'w')
            return name
    raise UsageError(
        f'this PyAV can write none of {", ".join(names)}. Choose another '
        f'container ({", ".join(CONTAINERS)}), or install the wheel of PyAV: '
        'pip install --force-reinstall av'
    )


def is_playable(path: Path) -> bool:
    """Tell whether a picture of a video file can be decoded."""
    av = import_av()
    try:
        with av.open(str(path)) as container:
            return next(container.decode(video=0), None) is not None
    except (OSError, ValueError, IndexError, av.FFmpegError):
        return False
