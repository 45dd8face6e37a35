"""Transforms of the sound: cutting to the frame, flipping and others.

The CPM paper (appendix A) pairs a frame of AVSBench with the one second of
sound around it: frame ``i`` of a clip with the seconds ``[i, i + 1)``.
"""

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from ...structures.audio_labels import label_map_classes
from .audio_loading import SoundSource
from .loading import LoadAVSAnnotations


def cut_window(
    audio: np.ndarray | SoundSource, start: int, length: int
) -> tuple[np.ndarray, int]:
    """Cut ``length`` samples from ``start`` on; zeros where the sound ended.

    Args:
        audio (np.ndarray | SoundSource): Waveform, float32
            ``[channels, samples]``.
        start (int): First sample of the window, not negative.
        length (int): Samples of the window.

    Returns:
        tuple[np.ndarray, int]: The window ``[channels, length]``, a copy, and
        how many of its samples come from ``audio``.

    Raises:
        ValueError: If ``start`` is negative: Python would slice from the end
            and pair the frame with another second.
    """
    if start < 0:
        raise ValueError(f'a window cannot start at sample {start}')
    if isinstance(audio, SoundSource):
        heard = audio.cut(start, length)
    else:
        heard = audio[:, start : start + length]
    window = np.zeros((len(heard), length), dtype=heard.dtype)
    window[:, : heard.shape[1]] = heard
    return window, heard.shape[1]


def cut_around(audio: np.ndarray, start: int, length: int) -> np.ndarray:
    """Cut ``length`` samples from a sound that is followed by itself.

    Args:
        audio (np.ndarray): Waveform, ``[channels, samples]``.
        start (int): First sample of the window; negative ones are at the end
            of the sound.
        length (int): Samples of the window.

    Returns:
        np.ndarray: The window, ``[channels, length]``; zeros of a sound
        without samples.
    """
    if not audio.shape[1]:
        return np.zeros((len(audio), length), audio.dtype)
    return audio.take(range(start, start + length), axis=1, mode='wrap')


def fit_clip(audio: np.ndarray, length: int) -> np.ndarray:
    """Bring the sound of a clip to a length, as CAVP does.

    Args:
        audio (np.ndarray): Waveform, ``[channels, samples]``.
        length (int): Wanted samples.

    Returns:
        np.ndarray: ``[channels, length]``: the center of a longer sound; a
        shorter one is repeated from its beginning. Zeros of a sound without
        samples.
    """
    start = max((audio.shape[1] - length) // 2, 0)
    return cut_around(audio, start, length)


@TRANSFORMS.register_module()
class CutAudioToFrame(BaseTransform):
    """Cut the waveform of a clip to the window of its frame.

    The window starts at ``audio_start``, or else ``frame_index`` times
    ``step`` seconds, which may be a fraction. A sound that ends within the
    window is continued with zeros; one that ended before gives zeros only, and
    ``audio_valid_samples`` is 0. With ``audio_shift`` the window is that many
    seconds later (earlier, if negative), and the sound is followed by itself:
    no window of it is cut short.

    Required Keys:

    - audio
    - sample_rate
    - frame_index
    - audio_start (float, optional)
    - audio_shift (float, optional): See CounterfactualAudioDataset.

    Modified Keys:

    - audio (np.ndarray): float32 ``[channels, seconds * sample_rate]``.

    Added Keys:

    - audio_valid_samples (int): Samples that are not padding.

    Args:
        seconds (float): Length of the window. Defaults to 1.0.
        step (float): Seconds from the window of a frame to that of the next.
            Defaults to 1.0, the distance of the frames. TPAVI, AVSegFormer
            and COMBO cut the sound into VGGish's examples of 0.96 s, so that
            sound and frames drift apart, by 0.36 s at the tenth frame; 0.96
            reproduces it. Unused where there is an ``audio_start``.
        clip_seconds (float, optional): Length to which the sound of the clip
            is brought beforehand, see :func:`fit_clip`: CAVP's 10 s. Defaults
            to None: as it is. Unused where there is an ``audio_start``.
    """

    def __init__(
        self,
        seconds: float = 1.0,
        *,
        step: float = 1.0,
        clip_seconds: float | None = None,
    ) -> None:
        if not seconds > 0:
            raise ValueError(f'seconds must be positive, got {seconds}')
        if not step > 0:
            raise ValueError(f'step must be positive, got {step}')
        if clip_seconds is not None and not clip_seconds >= seconds:
            raise ValueError(
                f'clip_seconds must be at least seconds={seconds:g}, the '
                f'length of the window, got {clip_seconds}'
            )
        self.seconds = seconds
        self.step = step
        self.clip_seconds = clip_seconds

    def transform(self, results: dict) -> dict:
        """Cut ``results['audio']`` to the frame's window.

        Raises:
            AudioReadError: If the file cannot be read.
        """
        rate = results['sample_rate']
        length = round(self.seconds * rate)
        start = results.get('audio_start')
        if start is None:
            start = results['frame_index'] * self.step
            if self.clip_seconds is not None:
                results['audio'] = fit_clip(
                    np.asarray(results['audio']),
                    round(self.clip_seconds * rate),
                )
        if shift := results.get('audio_shift'):
            results['audio'] = cut_around(
                np.asarray(results['audio']),
                round((start + shift) * rate),
                length,
            )
            results['audio_valid_samples'] = length
            return results
        results['audio'], results['audio_valid_samples'] = cut_window(
            results['audio'], start=round(start * rate), length=length
        )
        return results

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}(seconds={self.seconds}, '
            f'step={self.step}, clip_seconds={self.clip_seconds})'
        )


@TRANSFORMS.register_module()
class RecordSoundingClasses(BaseTransform):
    """Note which classes sound, before a crop can lose some of them.

    AVSBench labels hold sounding objects only, so the classes of the whole
    label map are the classes that are heard. Place it after the annotations
    are loaded and before any crop.

    Required Keys:

    - gt_seg_map

    Added Keys:

    - audio_labels (tuple[int]): Class ids, ascending, without background.
    """

    def transform(self, results: dict) -> dict:
        """Note the classes of ``results['gt_seg_map']``."""
        if 'gt_seg_map' not in results:
            raise KeyError(
                'RecordSoundingClasses needs gt_seg_map: place it after the '
                'transform that loads the annotations'
            )
        if not results.get('labeled', True):
            return results  # Nothing tells what sounds.
        results['audio_labels'] = label_map_classes(
            results['gt_seg_map'], LoadAVSAnnotations.ignore_index
        )
        return results

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}()'


@TRANSFORMS.register_module()
class SwapStereoOnFlip(BaseTransform):
    """Swap left and right channel when the frame was mirrored.

    Place it after ``RandomFlip``. Mono sound and vertical flips are left
    alone, and a second use in one pipeline does not swap back.

    Required Keys:

    - audio
    - flip (optional)
    - flip_direction (optional)

    Modified Keys:

    - audio (np.ndarray): float32 ``[channels, samples]``.

    Added Keys:

    - stereo_swapped (bool)
    """

    def transform(self, results: dict) -> dict:
        """Let the channels of ``results['audio']`` follow the flip."""
        # A diagonal flip mirrors both axes.
        mirrored = results.get('flip', False) and results.get(
            'flip_direction'
        ) in ('horizontal', 'diagonal')
        swapped = results.get('stereo_swapped', False)
        if mirrored and not swapped and len(results['audio']) == 2:
            results['audio'] = results['audio'][::-1].copy()
            swapped = True
        results['stereo_swapped'] = swapped
        return results

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}()'
