"""Recordings of what is not in view, the set D_r of CPM's Section 3.2.2."""

import os
from types import ModuleType

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from ..errors import AudioReadError
from .audio_loading import open_sound, read_sound, resampled_length

SUFFIXES = ('.wav', '.flac', '.ogg', '.mp3')


@TRANSFORMS.register_module()
class LoadOffscreenAudio(BaseTransform):
    """Draw a recording that the model is to mix into the frame's sound.

    Without this transform, the sound of another frame is mixed in. The
    recordings must not hold sounds of the dataset's classes.

    Required Keys:

    - audio (np.ndarray): ``[channels, samples]``, of the frame's second.
    - sample_rate (int): in Hz.

    Added Keys:

    - offscreen_audio (np.ndarray): float32, of the same shape.

    Args:
        folder (str): Folder of recordings on the local disk; its subfolders
            are searched too.
    """

    def __init__(self, *, folder: str) -> None:
        self.folder = folder
        self.files = sorted(
            os.path.join(root, name)
            for root, _, names in os.walk(folder)
            for name in names
            if name.lower().endswith(SUFFIXES)
        )
        if not self.files:
            raise FileNotFoundError(
                f'LoadOffscreenAudio found no {", ".join(SUFFIXES)} file in '
                f'{os.path.abspath(folder)}. Name a folder of recordings on '
                'the local disk, or leave the transform out.'
            )

    def transform(self, results: dict) -> dict:
        """Draw a file and a window of it.

        Raises:
            AudioReadError: Names the file that cannot be read.
        """
        results['offscreen_audio'] = self.draw(
            results['audio'].shape, results['sample_rate'], np.random
        )
        return results

    def draw(
        self,
        shape: tuple[int, int],
        rate: int,
        generator: np.random.Generator | ModuleType,
    ) -> np.ndarray:
        """Draw a file and a window of it.

        Args:
            shape (tuple[int, int]): Channels and samples of the window.
            rate (int): Sample rate of the window, in Hz.
            generator (np.random.Generator | ModuleType): Source of the
                random numbers; the module numpy.random has one, too.

        Returns:
            np.ndarray: float32, of this shape; zeros follow a shorter file.

        Raises:
            AudioReadError: Names the file that cannot be read.
        """
        channels, samples = shape
        integer = getattr(generator, 'integers', None) or generator.randint
        path = self.files[integer(len(self.files))]
        try:
            with open_sound(path) as sound:
                spare = resampled_length(sound, rate) - samples
                start = int(integer(max(spare, 0) + 1))
                policy = 'mono' if channels == 1 else 'stereo'
                window = read_sound(sound, rate, policy, start, samples)
        except (OSError, ValueError) as error:
            raise AudioReadError(
                f'Cannot read the recording {path}: {error}. Remove or '
                'replace it.'
            ) from error
        missing = samples - window.shape[1]
        return np.pad(window, ((0, 0), (0, missing)))

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(folder={self.folder!r}, '
            f'{len(self.files)} files)'
        )
