"""Recordings of what is not in view, the set D_r of CPM's Section 3.2.2."""

import os

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
        path = self.files[np.random.randint(len(self.files))]
        channels, samples = results['audio'].shape
        rate = results['sample_rate']
        try:
            with open_sound(path) as sound:
                spare = resampled_length(sound, rate) - samples
                start = np.random.randint(max(spare, 0) + 1)
                policy = 'mono' if channels == 1 else 'stereo'
                window = read_sound(sound, rate, policy, start, samples)
        except (OSError, ValueError) as error:
            raise AudioReadError(
                f'Cannot read the recording {path}: {error}. Remove or '
                'replace it.'
            ) from error
        missing = samples - window.shape[1]
        results['offscreen_audio'] = np.pad(window, ((0, 0), (0, missing)))
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(folder={self.folder!r}, '
            f'{len(self.files)} files)'
        )
