"""Checks of a sound file, with or without decoding it."""

import numpy as np

from mmcpm.datasets.errors import why
from mmcpm.datasets.transforms.audio_loading import open_sound
from mmcpm.datasets.transforms.sound_files import SoundFile

SAMPLE_RATE = 16000
# Cutting a video at a key frame or a packet of sound costs that much.
TOLERANCE = 0.25
# Equal channels keep all energy in their mean, unrelated ones half of it.
# With a hundredth (20 dB), what is left is the error of the recording.
CANCELED = 0.01
# A peak below the last bit of a 16-bit file.
SILENCE = 0.5 / 32768


def _check_channels(sound: SoundFile, deep: bool) -> list[tuple[str, str]]:
    """Look for channels that cancel each other or are silent."""
    if deep:
        blocks = sound.blocks()
    elif sound.channels > 1:
        start = max(sound.frames - sound.rate, 0) // 2
        blocks = iter([sound.read(start, start + sound.rate)])
    else:
        return []
    energy = np.zeros(sound.channels)
    peak, mixed = np.zeros(sound.channels), 0.0
    for block in blocks:
        energy += (block.astype(np.float64) ** 2).sum(axis=1)
        peak = np.maximum(peak, np.abs(block).max(axis=1, initial=0))
        mixed += (block.mean(axis=0, dtype=np.float64) ** 2).sum()
    silent = peak < SILENCE
    if silent.all():
        return [('silent', 'nothing is heard')] if deep else []
    found = []
    if mixed < CANCELED * energy.mean():
        lost = 10 * np.log10(energy.mean() / max(mixed, 1e-30))
        found.append(('canceled', f'the mean is {lost:.0f} dB quieter'))
    if deep and silent.any():
        listed = ', '.join(map(str, np.flatnonzero(silent) + 1))
        found.append(
            ('silent', f'channel {listed} of {sound.channels} is silent')
        )
    return found


def check_sound(
    path: str, seconds: float, deep: bool, at_least: bool = False
) -> list[tuple[str, str]]:
    """Check a sound file.

    Args:
        path (str): The file.
        seconds (float): Expected length, seconds.
        deep (bool): Whether to decode it.
        at_least (bool): Whether it may be longer. Defaults to False.

    Returns:
        list[tuple[str, str]]: Kind and text of each finding.

    Raises:
        FileNotFoundError: If there is none.
    """
    try:
        with open_sound(path) as sound:
            rate, channels = sound.rate, sound.channels
            length = sound.frames / rate
            found = _check_channels(sound, deep)
            if sound.is_open:
                found.append(('open', f'{length:.2f} s are there'))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        return [('sound', why(error))]
    if rate != SAMPLE_RATE:
        found.append(('rate', f'{rate} Hz'))
    if channels > 2:
        found.append(('channels', f'{channels} channels'))
    told = f'{length:.2f} s, expected {seconds:g} s'
    if length < seconds - TOLERANCE:
        found.append(('short', told))
    elif length > seconds + TOLERANCE and not at_least:
        found.append(('long', told))
    return found
