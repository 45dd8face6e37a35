"""The test pipeline of a config, for pictures and sounds from anywhere.

Pictures are loaded, and sounds resampled and cut, by the transforms that the
config has for its datasets: what a model sees and hears of a video is what it
would of a dataset of the same frames.
"""

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform, LoadAnnotations, LoadImageFromFile
from mmengine.config import Config
from mmseg.registry import TRANSFORMS

from mmcpm.datasets.errors import AudioReadError, why
from mmcpm.datasets.transforms import (
    CutAudioToFrame,
    LoadAudioFromFile,
    RecordSoundingClasses,
)
from mmcpm.datasets.transforms.audio_loading import SoundSource, read_sound
from mmcpm.datasets.transforms.offscreen import LoadOffscreenAudio
from mmcpm.utils.errors import UsageError
from mmcpm.video.sound_stream import WaveformSound

from .clip_batches import find_clip_length, mark_frame
from .nested_settings import innermost_datasets

# Have no part in inference: there is no label.
OF_LABELS = (LoadAnnotations, RecordSoundingClasses, LoadOffscreenAudio)


class OpenSound(SoundSource):
    """Sound that is open already, for the transforms that cut it.

    Args:
        sound (Sound): Has ``rate``, ``frames`` and ``read``.
        sample_rate (int): Rate to resample to, Hz.
        channels (str): 'mono' or 'stereo'.
        name (str): Of the sound, for messages.
    """

    def __init__(
        self, sound: Any, sample_rate: int, channels: str, name: str
    ) -> None:
        self._sound, self._path = sound, name
        self._form = sample_rate, channels

    def cut(self, start: int = 0, length: int | None = None) -> np.ndarray:
        """Read a part, see :meth:`SoundSource.cut`; the sound stays open."""
        try:
            return read_sound(self._sound, *self._form, start, length)
        except (OSError, ValueError) as error:
            raise AudioReadError(
                f'The sound of {self._path} cannot be used: {why(error)}.'
            ) from error


class InferencePipeline:
    """Packs a picture and the sound around it for a model.

    Args:
        cfg (Config): Config with ``test_dataloader``.
        audio_step (float, optional): Seconds after which the window of the
            sound moves on. Defaults to None, its own length, as in the
            datasets: all frames of a second get that second. With a smaller
            step the window has its middle at the frame's step.

    Attributes:
        sample_rate (int): Of the model's sound, Hz.
        channels (str): 'mono' or 'stereo'.
        seconds (float): Length of the window.
        clip_length (int): T, the frames that the model compares with each
            other; 1 if it gets each on its own.

    Raises:
        UsageError: If the pipeline loads no sound, or does not cut it.
    """

    def __init__(self, cfg: Config, audio_step: float | None = None) -> None:
        steps = [TRANSFORMS.build(step) for step in find_pipeline(cfg)]
        loader = _first(steps, LoadAudioFromFile)
        cutter = _first(steps, CutAudioToFrame)
        self._load_image = _first(steps, LoadImageFromFile)
        self.sample_rate, self.channels = loader.sample_rate, loader.channels
        self.seconds = cutter.seconds
        self.clip_length = find_clip_length(cfg)
        self.audio_step = cutter.seconds if audio_step is None else audio_step
        if not 0 < self.audio_step <= self.seconds:
            raise UsageError(
                f'audio_step must be above 0 and at most {self.seconds:g}, '
                f'the seconds of sound of a frame, but is {audio_step}'
            )
        skipped = (*OF_LABELS, LoadImageFromFile, LoadAudioFromFile)
        self._steps = [s for s in steps if not isinstance(s, skipped)]

    @property
    def max_channels(self) -> int | None:
        """Int | None: Most channels of a sound that are not mixed down."""
        return 2 if self.channels == 'stereo' else None

    def window_start(self, time: float) -> float:
        """Tell where the window of a frame begins.

        Args:
            time (float): When the frame is shown, seconds.

        Returns:
            float: Seconds of the sound, not negative.
        """
        # A time stamp of 1.9999999 is that of second 2.
        step = math.floor(time / self.audio_step + 1e-6)
        middle = (step + 0.5) * self.audio_step
        return max(0.0, middle - self.seconds / 2)

    def load_image(self, frame: str | Path | np.ndarray) -> np.ndarray:
        """Load a frame as the datasets do.

        Args:
            frame (str | Path | np.ndarray): File, or BGR, uint8, shape
                (H, W, 3).

        Returns:
            np.ndarray: BGR, shape (H, W, 3).

        Raises:
            FrameReadError: If the file cannot be read.
            ValueError: If the array is no picture.
        """
        if isinstance(frame, str | Path):
            return self._load_image({'img_path': str(frame)})['img']
        frame = np.asarray(frame)
        if frame.ndim == 2:
            frame = np.repeat(frame[..., None], 3, 2)
        if frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
            raise ValueError(
                'a frame must have the shape (height, width, 3), but has '
                f'{frame.shape}'
            )
        if frame.dtype != np.uint8:
            raise ValueError(
                'a frame must hold BGR values 0 to 255 as uint8, but is '
                f'{frame.dtype}'
            )
        return frame

    def open_sound(self, sound: Any, name: str = 'an array') -> OpenSound:
        """Prepare a sound for cutting.

        Args:
            sound (Any): Open sound, see :class:`OpenSound`; None for
                silence.
            name (str): For messages.

        Returns:
            OpenSound: What :meth:`__call__` takes.
        """
        if sound is None:
            silence = np.zeros((1, 1), np.float32)
            sound = WaveformSound(silence, self.sample_rate)
        return OpenSound(sound, self.sample_rate, self.channels, name)

    def __call__(
        self,
        image: np.ndarray,
        sound: OpenSound,
        time: float,
        sample_id: str,
        index: int = 0,
    ) -> dict:
        """Pack a sample.

        Args:
            image (np.ndarray): See :meth:`load_image`.
            sound (OpenSound): Sound of the clip.
            time (float): When the frame is shown, seconds of the sound.
            sample_id (str): Name of the frame.
            index (int): Its number, by which clips are in order. Defaults to
                0.

        Returns:
            dict: ``inputs`` and ``data_samples``, whose ``ori_shape`` is the
            size of the picture: predictions are brought back to it.
        """
        results = {
            'img': image,
            'img_path': sample_id,
            'img_shape': image.shape[:2],
            'ori_shape': image.shape[:2],
            'audio': sound,
            'sample_rate': self.sample_rate,
            'frame_index': int(time),
            'audio_start': self.window_start(time),
            'sample_id': sample_id,
            'seg_fields': [],
        }
        for step in self._steps:
            results = step(results)
        # Protocols that score at another size changed it.
        results['data_samples'].set_metainfo({'ori_shape': image.shape[:2]})
        return mark_frame(results, self.clip_length, index)


def find_pipeline(cfg: Config) -> list[dict]:
    """Find the test pipeline of a config, within any wrapper.

    Args:
        cfg (Config): Config with ``test_dataloader``.

    Returns:
        list[dict]: A copy.

    Raises:
        UsageError: If it has none.
    """
    for _, dataset in innermost_datasets(cfg, 'test_dataloader'):
        if dataset.get('pipeline'):
            return copy.deepcopy(list(dataset['pipeline']))
    raise UsageError(
        f'config {cfg.filename} has no test_dataloader.dataset.pipeline, '
        'which tells how frames and sounds are prepared'
    )


def _first(steps: list, kind: type) -> BaseTransform:
    """Find the transform of a kind."""
    for step in steps:
        if isinstance(step, kind):
            return step
    raise UsageError(
        f'the test pipeline has no {kind.__name__}. It needs '
        'LoadFrameFromFile, LoadAudioFromFile, CutAudioToFrame and '
        'PackAVSInputs'
    )


def as_waveform(sound: np.ndarray | torch.Tensor) -> np.ndarray:
    """Bring samples to the form that the package has them in.

    Args:
        sound (np.ndarray | Tensor): Shape (samples,) or (channels, samples);
            integers are scaled by their type.

    Returns:
        np.ndarray: float32, shape (channels, samples), full scale 1.

    Raises:
        ValueError: If it is no waveform.
    """
    if isinstance(sound, torch.Tensor):
        sound = sound.detach().cpu().numpy()
    sound = np.asarray(sound)
    if sound.ndim == 1:
        sound = sound[None]
    if sound.ndim != 2 or not sound.size or sound.shape[0] > sound.shape[1]:
        raise ValueError(
            'a waveform must have the shape (samples,) or (channels, '
            f'samples), but has {sound.shape}'
        )
    if sound.dtype.kind == 'i':
        sound = sound / -float(np.iinfo(sound.dtype).min)
    if sound.dtype.kind != 'f' or not np.isfinite(sound).all():
        raise ValueError(
            'a waveform must hold finite floating-point numbers, or signed '
            f'integers, but is {sound.dtype}'
        )
    return sound.astype(np.float32)
