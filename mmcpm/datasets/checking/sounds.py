"""Looking at a sound file, with or without decoding it."""

import os

import soundfile

from ..errors import why
from ..transforms.loading import (
    SAMPLE_RATES,
    decode_audio,
    missing_wav_bytes,
)

SAMPLE_RATE = 16000
# Cutting a video at a key frame or a packet of sound costs that much.
TOLERANCE = 0.25
HEAD_BYTES = 1 << 16


def read_sound_header(path: str) -> tuple[int, int, float]:
    """Read the header of a sound file, and whether the file is whole.

    Args:
        path (str): The file.

    Returns:
        tuple[int, int, float]: Sample rate in Hz, channels and seconds.

    Raises:
        OSError: If it cannot be opened.
        ValueError: If it is no sound or was cut short; tells why.
    """
    size = os.path.getsize(path)
    with open(path, 'rb') as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise ValueError('the file is empty (0 bytes)')
    missing = missing_wav_bytes(head) - (size - len(head))
    if missing > 0:
        raise ValueError(
            f'the file is truncated: {missing} bytes of samples are missing '
            f'({size} bytes are there)'
        )
    try:
        info = soundfile.info(path)
    except soundfile.SoundFileError as error:
        reason = str(error).rpartition(': ')[2].rstrip('.').lower()
        raise ValueError(
            f'{size} bytes that are no sound ({reason})'
        ) from None
    if not SAMPLE_RATES[0] <= info.samplerate <= SAMPLE_RATES[1]:
        raise ValueError(
            f'its header tells a sample rate of {info.samplerate} Hz'
        )
    if not info.frames:
        raise ValueError('it holds no samples')
    return info.samplerate, info.channels, info.frames / info.samplerate


def check_sound(
    path: str, seconds: float, deep: bool, at_least: bool = False
) -> list[tuple[str, str]]:
    """Check a sound file.

    Args:
        path (str): The file.
        seconds (float): How long it should be.
        deep (bool): Whether to decode it.
        at_least (bool): Whether it may be longer. Defaults to False.

    Returns:
        list[tuple[str, str]]: Kind and text of each finding.

    Raises:
        FileNotFoundError: If there is none.
    """
    try:
        rate, channels, length = read_sound_header(path)
        if deep:
            with open(path, 'rb') as file:
                samples, rate = decode_audio(file.read())
            length = samples.shape[1] / rate
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        return [('sound', why(error))]
    found = []
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
