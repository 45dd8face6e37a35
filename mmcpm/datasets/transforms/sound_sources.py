"""The sound of a VPO image: recordings, each placed where its object is.

Chen et al., "Unraveling Instance Associations: A Closer Look for Audio-Visual
Segmentation" (CAVP), CVPR 2024: an image is given the center three seconds of
a recording per sounding object, panned by the object's horizontal position.
"""

from collections.abc import Sequence

import numpy as np
from mmseg.registry import TRANSFORMS

from ..errors import SampleReadError, why
from .audio import cut_window, fit_clip
from .audio_loading import (
    LoadAudioFromFile,
    open_sound,
    read_sound,
    resampled_length,
)
from .sound_files import SoundFile


def read_center(
    sound: SoundFile, rate: int, channels: str, length: int
) -> np.ndarray:
    """Read the middle of a recording, float32 ``[1 or 2, length]``.

    The length is in samples at the wanted rate; a shorter recording is read as
    a whole.
    """
    start = max((resampled_length(sound, rate) - length) // 2, 0)
    return read_sound(sound, rate, channels, start, length)


def mix_sources(
    sources: Sequence[np.ndarray], positions: Sequence[float]
) -> np.ndarray:
    """Place mono sounds between left and right and add them.

    Left is ``w (1 - p)`` and right ``w p``; the sum is not renormalized, and
    left and right together are the sum of the sounds.

    Args:
        sources (Sequence[np.ndarray]): Waveforms, float32 ``[1, samples]``.
        positions (Sequence[float]): 0 for the left border of the image, 1
            for the right one.

    Returns:
        np.ndarray: Waveform, float32 ``[2, samples]``.
    """
    return sum(
        source * np.array([[1 - position], [position]], np.float32)
        for source, position in zip(sources, positions, strict=True)
    )


@TRANSFORMS.register_module()
class LoadSoundSources(LoadAudioFromFile):
    """Load the recordings of an image's sounding objects and mix them.

    Every recording is made mono, resampled and cut to its center before it
    is placed. Mono sound is the sum of the recordings, wherever their objects
    are. Where ``audio_sources`` is missing, ``audio_path`` is a finished
    mixture, cut alike.

    Required Keys:

    - audio_sources (list[tuple[str, float | None]], optional): Path and
      horizontal position in 0..1 of every recording.
    - audio_path (if there are no sources)
    - mono_audio_path (optional): Used instead of ``audio_path`` for mono.

    Added Keys:

    - audio (np.ndarray): float32 ``[channels, seconds * sample_rate]``.
    - sample_rate (int): in Hz.
    - audio_valid_samples (int): Samples that are not padding.

    Args:
        sample_rate (int): The rate in Hz to resample to. Defaults to 16000.
        channels (str): 'mono' or 'stereo'. Defaults to 'stereo'.
        seconds (float): Length of the sound. Defaults to 3.0.
        repeat_short (bool): Repeat a recording that is shorter from its
            beginning, as CAVP does. Defaults to False: zeros follow it.
        backend_args (dict, optional): Arguments of the
            ``mmengine.fileio`` backend. Defaults to None.
    """

    def __init__(
        self,
        *,
        sample_rate: int = 16000,
        channels: str = 'stereo',
        seconds: float = 3.0,
        repeat_short: bool = False,
        backend_args: dict | None = None,
    ) -> None:
        if not seconds > 0:
            raise ValueError(f'seconds must be positive, got {seconds}')
        super().__init__(
            sample_rate=sample_rate,
            channels=channels,
            backend_args=backend_args,
        )
        self.seconds = seconds
        self.repeat_short = repeat_short

    def transform(self, results: dict) -> dict:
        """Load and mix the sounds of a sample.

        Raises:
            SampleReadError: If a file is missing, empty, truncated or not
                finite, or if positions are wanted and not known.
        """
        sources = results.get('audio_sources')
        if sources is None:
            path = results['audio_path']
            if self.channels == 'mono':
                path = results.get('mono_audio_path', path)
            audio, valid = self._read(path, self.channels)
        else:
            windows, numbers = zip(
                *(self._read(path, 'mono') for path, _ in sources),
                strict=True,
            )
            valid = max(numbers)
            if self.channels == 'stereo':
                audio = mix_sources(windows, self._positions(sources))
            else:
                audio = np.sum(windows, axis=0, dtype=np.float32)
        results['audio'] = audio
        results['audio_valid_samples'] = valid
        results['sample_rate'] = self.sample_rate
        return results

    def _read(self, path: str, channels: str) -> tuple[np.ndarray, int]:
        """Read the center of a file; a shorter one is filled up."""
        length = round(self.seconds * self.sample_rate)
        try:
            with open_sound(path, self.backend_args) as sound:
                audio = read_center(sound, self.sample_rate, channels, length)
        except (OSError, ValueError) as error:
            raise SampleReadError(
                f'Cannot read the audio file {path}: {why(error)}. Expected a '
                'whole wav, flac, ogg or mp3 file; restore it from the '
                "dataset's archive.",
                path,
            ) from error
        if self.repeat_short and audio.shape[1]:
            audio = fit_clip(audio, length)
        return cut_window(audio, 0, length)

    @staticmethod
    def _positions(sources: Sequence[tuple]) -> list[float]:
        """List the positions, and refuse unknown ones."""
        for path, position in sources:
            if position is None:
                raise SampleReadError(
                    f'{path}: stereo sound needs the position of the object, '
                    'and the index file has no column audio_pos. Use the '
                    'files vpo_*_data_stereo.csv of the dataset, or '
                    "LoadSoundSources(channels='mono').",
                    path,
                )
        return [position for _, position in sources]

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}(sample_rate={self.sample_rate}, '
            f"channels='{self.channels}', seconds={self.seconds}, "
            f'backend_args={self.backend_args})'
        )
