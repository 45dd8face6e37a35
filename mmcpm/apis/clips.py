"""What an inferencer takes: a frame, a folder of frames, or a video."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmcpm.datasets.errors import AudioReadError, why
from mmcpm.datasets.transforms.audio_loading import open_sound
from mmcpm.utils.errors import UsageError
from mmcpm.video.pyav import VideoReadError
from mmcpm.video.sound_stream import SoundStream, WaveformSound
from mmcpm.video.video_reader import VideoInfo, VideoReader

from .inference_pipeline import InferencePipeline, as_waveform

PICTURES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff')
OWN, SILENCE = 'own', 'silence'
KEYS = {
    'frame': {'frame', 'sound', 'time', 'sample_rate', 'name'},
    'frames': {'frames', 'sound', 'rate', 'sample_rate', 'name'},
    'video': {'video', 'sound', 'audio_track', 'sample_rate', 'name'},
}


class Picture:
    """A frame that is a file or an array.

    Args:
        source (str | Path | np.ndarray): File, or BGR, uint8, shape
            (H, W, 3).
        index (int): Number of the frame.
        time (float): When it is shown, seconds.
        pipeline (InferencePipeline): Loads it.
        name (str): Of the frame within its clip.
    """

    def __init__(
        self,
        source: str | Path | np.ndarray,
        index: int,
        time: float,
        pipeline: InferencePipeline,
        name: str = '',
    ) -> None:
        self._source, self._load = source, pipeline.load_image
        self._image = None
        self.index, self.time, self.name = index, time, name or str(index)

    @property
    def image(self) -> np.ndarray:
        """np.ndarray: BGR, uint8, shape (H, W, 3)."""
        if self._image is None:
            self._image = self._load(self._source)
        return self._image

    @property
    def num_bytes(self) -> int:
        """int: Memory that the frame takes."""
        return 0 if self._image is None else self._image.nbytes


@dataclass
class Clip:
    """Frames with their times, and the sound beside them.

    Attributes:
        name (str): Of the clip: sample ids begin with it.
        frames (Iterable): Have ``index``, ``time``, ``image``, ``num_bytes``.
        sound (Any, optional): Open sound; None for silence.
        sound_name (str): Of the sound, for messages.
        info (VideoInfo, optional): Of a video.
        duration (float, optional): Seconds, if they are known.
        notes (list[str]): What a user should know.
        is_single (bool): Whether it is one frame, given as such.
    """

    name: str
    frames: Iterable
    sound: Any = None
    sound_name: str = 'silence'
    info: VideoInfo | None = None
    duration: float | None = None
    notes: list[str] = field(default_factory=list)
    is_single: bool = False
    reader: VideoReader | None = None

    def close(self) -> None:
        """Close the files."""
        for part in (self.reader, self.sound):
            if part is not None:
                part.close()

    def __enter__(self) -> 'Clip':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_clip(inputs: Any, pipeline: InferencePipeline) -> Clip:
    """Open what an inferencer is given.

    Args:
        inputs (Any): Path of a video, or a dict with the keys of one of
            ``KEYS``, see :class:`.av_inferencer.AVSInferencer`.
        pipeline (InferencePipeline): Of the model.

    Returns:
        Clip: Open clip, which the caller closes.

    Raises:
        UsageError: If it is none of them, or cannot be read.
    """
    if isinstance(inputs, str | Path):
        inputs = {'video': inputs}
    if not isinstance(inputs, Mapping):
        raise UsageError(
            'expected the path of a video, or a dict such as '
            "dict(frame=..., sound=...) or dict(frames='folder', "
            f"sound='sound.wav'), but got a {type(inputs).__name__}"
        )
    kinds = [kind for kind in KEYS if kind in inputs]
    if len(kinds) != 1:
        raise UsageError(
            "expected exactly one of the keys 'frame', 'frames' and 'video' "
            f'among {sorted(inputs)}'
        )
    unknown = inputs.keys() - KEYS[kinds[0]]
    if unknown:
        raise UsageError(
            f'a dict with {kinds[0]!r} has no {", ".join(sorted(unknown))}: '
            f'its keys are {", ".join(sorted(KEYS[kinds[0]]))}'
        )
    opener = {'frame': _open_frame, 'frames': _open_frames}
    return opener.get(kinds[0], _open_video)(dict(inputs), pipeline)


def _open_frame(inputs: dict, pipeline: InferencePipeline) -> Clip:
    """Open a frame and a sound."""
    frame = inputs['frame']
    name = inputs.get('name')
    if name is None:
        name = Path(frame).stem if isinstance(frame, str | Path) else 'frame'
    time = float(inputs.get('time', 0.0))
    if not 0 <= time < float('inf'):
        raise UsageError(f'time must not be negative, but is {time}')
    picture = Picture(frame, 0, time, pipeline, '0')
    sound, told = read_any_sound(
        inputs.get('sound'), pipeline, inputs.get('sample_rate')
    )
    return Clip(name, [picture], sound, told, is_single=True)


def _open_frames(inputs: dict, pipeline: InferencePipeline) -> Clip:
    """Open a folder or a list of frames, and a sound."""
    frames, rate = inputs['frames'], float(inputs.get('rate', 1.0))
    if not 0 < rate < float('inf'):
        raise UsageError(f'rate must be above 0 frames per second, not {rate}')
    name = inputs.get('name')
    if isinstance(frames, str | Path):
        name = name or Path(frames).resolve().name
        frames = list_pictures(frames)
    if not len(frames):
        raise UsageError('the list of frames is empty')
    pictures = (
        Picture(
            frame,
            index,
            index / rate,
            pipeline,
            Path(frame).stem if isinstance(frame, str | Path) else '',
        )
        for index, frame in enumerate(frames)
    )
    sound, told = read_any_sound(
        inputs.get('sound'), pipeline, inputs.get('sample_rate')
    )
    return Clip(
        name or 'frames', pictures, sound, told, duration=len(frames) / rate
    )


def _open_video(inputs: dict, pipeline: InferencePipeline) -> Clip:
    """Open a video, with its own sound or another."""
    path = str(inputs['video'])
    reader = VideoReader(path)
    clip = Clip(
        inputs.get('name') or Path(path).stem,
        reader,
        info=reader.info,
        duration=reader.info.duration,
        reader=reader,
    )
    track = int(inputs.get('audio_track', 0))
    wanted = inputs.get('sound', OWN)
    try:
        if not (isinstance(wanted, str) and wanted == OWN):
            clip.sound, clip.sound_name = read_any_sound(
                wanted, pipeline, inputs.get('sample_rate')
            )
        elif reader.info.audio_tracks:
            clip.sound, clip.sound_name = open_track(clip, track, pipeline)
        elif track:
            raise VideoReadError(
                f'{path} has no sound track {track}: it has no sound'
            )
        else:
            clip.notes.append(
                f'{path} has no sound: the model gets silence, so that '
                'nothing should sound'
            )
    except BaseException:
        clip.close()
        raise
    return clip


def open_track(
    clip: Clip, track: int, pipeline: InferencePipeline
) -> tuple[SoundStream, str]:
    """Open the sound track of a video."""
    tracks = clip.info.audio_tracks
    sound = SoundStream(
        clip.info.path, track, clip.info.start, pipeline.max_channels
    )
    if len(tracks) > 1:
        clip.notes.append(
            f'{clip.info.path} has {len(tracks)} sound tracks; track {track} '
            f'is taken ({tracks[track]})'
        )
    return sound, clip.info.path


def read_any_sound(
    sound: Any, pipeline: InferencePipeline, sample_rate: int | None = None
) -> tuple[Any, str]:
    """Open a sound that is given as a file or as samples.

    Args:
        sound (Any): Path, samples of shape (samples,) or (channels,
            samples), or None or 'silence' for silence.
        pipeline (InferencePipeline): Of the model.
        sample_rate (int, optional): Of samples, Hz. Defaults to the model's.

    Returns:
        tuple[Any, str]: Open sound or None, and its name.

    Raises:
        UsageError: If it cannot be used.
    """
    if sound is None or isinstance(sound, str) and sound == SILENCE:
        return None, SILENCE
    if not isinstance(sound, str | Path):
        rate = pipeline.sample_rate if sample_rate is None else sample_rate
        return WaveformSound(as_waveform(sound), int(rate)), 'an array'
    path = str(sound)
    try:
        return open_sound(path), path
    except FileNotFoundError as error:
        raise AudioReadError(f'sound not found: {path}') from error
    except (OSError, ValueError) as error:
        # Sound of a video, or in a container that soundfile does not read.
        try:
            return SoundStream(path, max_channels=pipeline.max_channels), path
        except UsageError as other:
            raise AudioReadError(
                f'Cannot read the sound {path}: {why(error)}; {other}'
            ) from error


def list_pictures(folder: str | Path) -> list[Path]:
    """List the pictures of a folder in the order of their numbers.

    Args:
        folder (str | Path): The folder.

    Returns:
        list[Path]: Paths, 2.jpg before 10.jpg.

    Raises:
        UsageError: If there is no such folder, or no picture in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f'folder of frames not found: {folder.absolute()}')
    found = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PICTURES and not path.name.startswith('.')
    ]
    if not found:
        raise UsageError(
            f'{folder} holds no picture. Expected files such as 0.jpg, 1.jpg '
            f'({", ".join(PICTURES)})'
        )
    return sorted(found, key=lambda path: natural_key(path.stem))


def natural_key(name: str) -> Sequence:
    """Split a name, so that numbers in it are compared as numbers."""
    parts = re.split(r'(\d+)', name)
    return [int(p) if k % 2 else p for k, p in enumerate(parts)]


def choose_frames(
    frames: Iterable, fps: float | None
) -> Iterator[tuple[Any, bool]]:
    """Mark the frames of which predictions are made.

    Args:
        frames (Iterable): Have ``time``, growing.
        fps (float, optional): Predictions per second: the first frame at or
            after each tick. Defaults to None: every frame.

    Yields:
        tuple[Any, bool]: Every frame, and whether it is marked.
    """
    done = -1
    for frame in frames:
        # A time stamp of 0.19999 is that of 0.2.
        tick = frame.index if fps is None else int(frame.time * fps + 1e-3)
        yield frame, tick > done
        done = max(done, tick)
