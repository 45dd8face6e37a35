"""Reading the sound of a clip: any usual audio file to 16 kHz samples.

The CPM paper (ECCV 2024, appendix A) works on 16 kHz audio. Files are fetched
through ``mmengine.fileio``: storage needs a backend with ``get``, as that of
http has. They are decoded with soundfile; ``torchaudio.load`` needs an extra
decoder package since 2.9.
"""

import functools
import io
import math
import struct

import mmengine.fileio as fileio
import numpy as np
import soundfile
import torch
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS
from scipy.signal import resample_poly

from ..errors import AudioReadError, why

# PyTorch's CPU builds and its newest releases have no torchaudio that can be
# imported beside them; without one, scipy applies the same filter.
try:
    from torchaudio.functional import resample as torchaudio_resample
except (ImportError, OSError, RuntimeError):
    torchaudio_resample = None

# torchaudio holds its whole filter bank, (target / g) x (source / g) taps
# with g the greatest common divisor of the two rates: 70 k for 44.1 kHz, but
# 706 M for 44,099 Hz. Above this number scipy's polyphase filter is used.
MAX_FILTER_BANK = 1 << 20
# The filter: zero crossings on either side, and the highest frequency that
# passes, relative to what the lower rate can carry. As torchaudio's defaults.
FILTER_WIDTH = 6
FILTER_ROLLOFF = 0.99
# Outside of this range a header is damaged, not unusual.
SAMPLE_RATES = (1_000, 768_000)
# Full scale is 1. Floating-point files may exceed it a little, but not like
# 16-bit integers that nobody divided, or damaged bytes.
LARGEST_SAMPLE = 1_000.0


def missing_wav_bytes(data: bytes) -> int:
    """Count the bytes that a WAV file announces and does not have.

    libsndfile reads a WAV file that was cut short without a word, and the
    missing seconds would pass as silence.

    Args:
        data (bytes): The file.

    Returns:
        int: Missing bytes of the ``data`` chunk; 0 for a whole file, for any
        other format, and for a stream whose writer left the length open.
    """
    if data[:4] != b'RIFF' or data[8:12] != b'WAVE':
        return 0
    start = 12
    while start + 8 <= len(data):
        name, size = struct.unpack_from('<4sI', data, start)
        start += 8
        if name == b'data':
            open_ended = size >= 0x7FFFF000
            return 0 if open_ended else max(start + size - len(data), 0)
        start += size + size % 2
    return 0


def decode_audio(data: bytes) -> tuple[np.ndarray, int]:
    """Decode the bytes of a wav, flac, ogg or mp3 file.

    Args:
        data (bytes): The file.

    Returns:
        tuple[np.ndarray, int]: Samples, float32 ``[channels, samples]``, and
        their rate in Hz.

    Raises:
        ValueError: If the bytes are no audio, or not all of it, or if the
            samples are not finite or out of all scale. The message tells
            what arrived.
    """
    if not data:
        raise ValueError('the file is empty (0 bytes)')
    if missing := missing_wav_bytes(data):
        raise ValueError(
            f'the file is truncated: {missing} bytes of samples are missing '
            f'({len(data)} bytes arrived)'
        )
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            rate, announced = file.samplerate, file.frames
            samples = file.read(dtype='float32', always_2d=True)
    except soundfile.SoundFileError as error:
        raise ValueError(
            f'{len(data)} bytes arrived and could not be decoded '
            f'({str(error).rpartition(": ")[2].rstrip(".").lower()})'
        ) from error
    if not SAMPLE_RATES[0] <= rate <= SAMPLE_RATES[1]:
        raise ValueError(f'its header tells a sample rate of {rate} Hz')
    # An mp3 header may be some frames of 1152 samples wrong.
    if announced - len(samples) > rate // 4:
        raise ValueError(
            f'the file is truncated: {len(samples)} of {announced} samples '
            'could be decoded'
        )
    if not len(samples):
        raise ValueError('it holds no samples')
    if not np.isfinite(samples).all():
        bad = int((~np.isfinite(samples)).any(axis=1).sum())
        raise ValueError(
            f'{bad} of its {len(samples)} samples are NaN or infinite'
        )
    if (largest := np.abs(samples).max()) > LARGEST_SAMPLE:
        raise ValueError(
            f'its largest sample is {largest:.3g}, where full scale is 1'
        )
    return np.ascontiguousarray(samples.T), rate


def convert_channels(audio: np.ndarray, channels: str) -> np.ndarray:
    """Bring a waveform to one or two channels.

    Args:
        audio (np.ndarray): Waveform, float32 ``[channels, samples]``.
        channels (str): 'mono': the mean of all channels. 'stereo': left and
            right; one channel is duplicated.

    Returns:
        np.ndarray: Waveform, float32 ``[1 or 2, samples]``.

    Raises:
        ValueError: If more than two channels shall become stereo: which of
            them are left and right is not known.
    """
    if channels == 'mono':
        return audio.mean(axis=0, keepdims=True, dtype=np.float32)
    if len(audio) > 2:
        raise ValueError(
            f'it has {len(audio)} channels where stereo takes one or two'
        )
    return np.repeat(audio, 2, axis=0) if len(audio) == 1 else audio


@functools.lru_cache(maxsize=4)
def sinc_filter(up: int, down: int) -> np.ndarray:
    """Make the low-pass filter of torchaudio's resampling, in one piece.

    Args:
        up (int): The wanted sample rate, divided by what both rates share.
        down (int): The present sample rate, divided likewise.

    Returns:
        np.ndarray: A sinc in a Hann window, float64 ``[taps]``, at ``up``
        times the present sample rate.
    """
    cutoff = FILTER_ROLLOFF / max(up, down)
    half = math.ceil(FILTER_WIDTH / cutoff)
    position = np.arange(-half, half + 1) * cutoff
    position = position.clip(-FILTER_WIDTH, FILTER_WIDTH)
    window = np.cos(np.pi * position / (2 * FILTER_WIDTH)) ** 2
    return cutoff * np.sinc(position) * window


def resample_audio(audio: np.ndarray, rate: int, target: int) -> np.ndarray:
    """Resample a whole waveform, band-limited.

    Args:
        audio (np.ndarray): Waveform, float32 ``[channels, samples]``.
        rate (int): Its sample rate in Hz.
        target (int): The wanted sample rate in Hz.

    Returns:
        np.ndarray: Waveform, float32
        ``[channels, ceil(samples * target / rate)]``.
    """
    if rate == target:
        return audio
    divisor = math.gcd(rate, target)
    up, down = target // divisor, rate // divisor
    if torchaudio_resample is not None and up * down <= MAX_FILTER_BANK:
        return torchaudio_resample(
            torch.from_numpy(audio), rate, target
        ).numpy()
    return resample_poly(
        audio, up, down, axis=-1, window=sinc_filter(up, down)
    ).astype(np.float32)


@TRANSFORMS.register_module()
class LoadAudioFromFile(BaseTransform):
    """Load the waveform of the whole clip.

    Required Keys:

    - audio_path

    Added Keys:

    - audio (np.ndarray): float32 ``[channels, samples]``.
    - sample_rate (int): in Hz.

    Args:
        sample_rate (int): The rate in Hz to resample to. Defaults to 16000.
        channels (str): 'mono' (mean of all channels) or 'stereo' (one channel
            is duplicated, more than two are refused). Defaults to 'mono'.
        backend_args (dict, optional): Arguments of the
            ``mmengine.fileio`` backend. Defaults to None.
    """

    def __init__(
        self,
        *,
        sample_rate: int = 16000,
        channels: str = 'mono',
        backend_args: dict | None = None,
    ) -> None:
        if channels not in ('mono', 'stereo'):
            raise ValueError(
                f"channels must be 'mono' or 'stereo', got {channels!r}"
            )
        if sample_rate <= 0:
            raise ValueError(
                f'sample_rate must be a positive number of Hz, '
                f'got {sample_rate}'
            )
        self.sample_rate = sample_rate
        self.channels = channels
        self.backend_args = backend_args.copy() if backend_args else None

    def transform(self, results: dict) -> dict:
        """Load the waveform of ``results['audio_path']``.

        Args:
            results (dict): Result dict of the dataset.

        Returns:
            dict: The same, with ``audio`` and ``sample_rate``.

        Raises:
            AudioReadError: If the file is missing, empty, truncated, not
                finite or has too many channels.
        """
        path = results['audio_path']
        try:
            data = fileio.get(path, backend_args=self.backend_args)
            audio, rate = decode_audio(data)
            audio = convert_channels(audio, self.channels)
        except (OSError, ValueError) as error:
            raise AudioReadError(
                f'Cannot read the audio file {path}: {why(error)}. Expected a '
                'whole wav, flac, ogg or mp3 file; restore it from the '
                "dataset's archive, or extract it from the video again."
            ) from error
        results['audio'] = resample_audio(audio, rate, self.sample_rate)
        results['sample_rate'] = self.sample_rate
        return results

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}(sample_rate={self.sample_rate}, '
            f"channels='{self.channels}', backend_args={self.backend_args})"
        )
