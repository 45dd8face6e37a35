"""Loading of the sound of a clip: any usual audio file to 16 kHz samples.

The CPM paper (ECCV 2024, appendix A) works on 16 kHz audio. Files are opened
through ``mmengine.fileio``: storage needs a backend with ``get``, as that of
http has. They are decoded with soundfile; ``torchaudio.load`` needs an extra
decoder package since 2.9. Of a file on the local disk, only what a sample
needs is read and decoded (of MP3, all that stands before it, too).
"""

import functools
import io
import math

import mmengine.fileio as fileio
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.fileio.backends import LocalBackend
from mmseg.registry import TRANSFORMS
from numpy.lib.mixins import NDArrayOperatorsMixin
from scipy.signal import resample_poly

from ..errors import AudioReadError, why
from .sound_files import SoundFile

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


def open_sound(path: str, backend_args: dict | None = None) -> SoundFile:
    """Open a sound file.

    Args:
        path (str): Path or address.
        backend_args (dict, optional): Arguments of the ``mmengine.fileio``
            backend. Defaults to None.

    Returns:
        SoundFile: Open file, which the caller closes.

    Raises:
        OSError: If it cannot be opened.
        ValueError: If it is no sound, or not all of it; tells why.
    """
    backend = fileio.get_file_backend(
        path, backend_args=backend_args, enable_singleton=True
    )
    if isinstance(backend, LocalBackend):
        file = open(path, 'rb')  # noqa: SIM115
    else:
        file = io.BytesIO(backend.get(path))
    try:
        return SoundFile(file)
    except BaseException:
        file.close()
        raise


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
def _sinc_filter(up: int, down: int) -> np.ndarray:
    """Make the low-pass filter of torchaudio's resampling, in one piece."""
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
        audio, up, down, axis=-1, window=_sinc_filter(up, down)
    ).astype(np.float32)


def resampled_length(sound: SoundFile, target: int) -> int:
    """Count the samples per channel that a file has after resampling."""
    return -(-sound.frames * target // sound.rate)


def read_sound(
    sound: SoundFile,
    target: int,
    channels: str,
    start: int = 0,
    length: int | None = None,
) -> np.ndarray:
    """Read a part of a sound as if the whole of it had been resampled.

    Args:
        sound (SoundFile): The file.
        target (int): The wanted sample rate in Hz.
        channels (str): Channels to give, see :func:`convert_channels`.
        start (int): First sample at the wanted rate. Defaults to 0.
        length (int, optional): Samples at that rate. Defaults to None: all.

    Returns:
        np.ndarray: Waveform, float32 ``[1 or 2, length]``; shorter where the
        sound ends.

    Raises:
        ValueError: If it cannot be decoded, holds no usable samples or has
            too many channels.
    """
    if start < 0:
        raise ValueError(f'a window cannot start at sample {start}')
    whole = resampled_length(sound, target)
    stop = whole if length is None else min(start + length, whole)
    divisor = math.gcd(sound.rate, target)
    up, down = target // divisor, sound.rate // divisor
    # The filter's half in samples of the file, and whole periods of it, in
    # which the positions of old and new samples repeat.
    reach = math.ceil(FILTER_WIDTH * max(up, down) / up / FILTER_ROLLOFF) + 1
    period = max((start * down // up - reach) // down, 0)
    end = -(-stop * down // up) + reach + down
    if up == down:
        period, end = start, stop
    if stop <= start:
        period, end = 0, 0
    part = convert_channels(sound.read(period * down, end), channels)
    if not part.shape[1]:
        return part
    resampled = resample_audio(part, sound.rate, target)
    first = start - period * up
    return resampled[:, first : first + max(stop - start, 0)]


class SoundSource(NDArrayOperatorsMixin):
    """The waveform of a clip, of which nothing is decoded before it is used.

    NumPy takes it for the whole waveform, float32 ``[channels, samples]``;
    :meth:`cut` reads a part.

    Args:
        path (str): The file.
        backend_args (dict, optional): Arguments of the ``mmengine.fileio``
            backend.
        sample_rate (int): The rate in Hz to resample to.
        channels (str): 'mono' or 'stereo'.

    Raises:
        AudioReadError: If the file is missing, empty or truncated.
    """

    def __init__(
        self,
        path: str,
        backend_args: dict | None,
        sample_rate: int,
        channels: str,
    ) -> None:
        self._path, self._backend_args = path, backend_args
        self._form = (sample_rate, channels)
        self._sound = self._open()

    def _open(self) -> SoundFile:
        """Open the file."""
        try:
            return open_sound(self._path, self._backend_args)
        except (OSError, ValueError) as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> AudioReadError:
        """Describe why the file cannot be read."""
        return AudioReadError(
            f'Cannot read the audio file {self._path}: {why(error)}. Expected '
            'a whole wav, flac, ogg or mp3 file; restore it from the '
            "dataset's archive, or extract it from the video again."
        )

    def __getstate__(self) -> dict:
        # A copy opens the file anew.
        return {**self.__dict__, '_sound': None}

    def cut(self, start: int = 0, length: int | None = None) -> np.ndarray:
        """Read a part.

        Args:
            start (int): First sample. Defaults to 0.
            length (int, optional): Samples. Defaults to None: all.

        Returns:
            np.ndarray: Waveform, float32 ``[channels, length]``; shorter
            where the sound ends.

        Raises:
            AudioReadError: If it is not finite or has too many channels.
        """
        sound, self._sound = self._sound or self._open(), None
        try:
            with sound:
                return read_sound(sound, *self._form, start, length)
        except (OSError, ValueError) as error:
            raise self._error(error) from error

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self.cut(), dtype)

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        arrays = (
            np.asarray(x) if isinstance(x, SoundSource) else x for x in inputs
        )
        return getattr(ufunc, method)(*arrays, **kwargs)

    def __getattr__(self, name: str):
        # Copies ask for special names before there is a path.
        if name.startswith('_'):
            raise AttributeError(name)
        return getattr(self.cut(), name)

    def __getitem__(self, index):
        return self.cut()[index]

    def __len__(self) -> int:
        return 2 if self._form[1] == 'stereo' else 1


@TRANSFORMS.register_module()
class LoadAudioFromFile(BaseTransform):
    """Load the waveform of the whole clip.

    Where the frame is known, the file is opened and checked, but decoded
    when the waveform is used: ``CutAudioToFrame`` decodes the window of the
    frame only, so that a long recording (other than MP3) costs no more than a
    short one.

    Required Keys:

    - audio_path
    - frame_index (optional)

    Added Keys:

    - audio (np.ndarray | SoundSource): float32 ``[channels, samples]``.
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

        Raises:
            AudioReadError: If there is no ``audio_path``, or the file is
                missing, empty or truncated; where the frame is not known,
                also if it is not finite or has too many channels.
        """
        if 'audio_path' not in results:
            raise AudioReadError(
                'LoadAudioFromFile got a frame without a sound (audio_path). '
                "mmseg's inference_model hands over pictures only: call "
                'mmcpm.apis.inference_av_model(model, frame, sound), or '
                'mmcpm.apis.AVSInferencer for videos.'
            )
        source = SoundSource(
            results['audio_path'],
            self.backend_args,
            self.sample_rate,
            self.channels,
        )
        is_cut_later = 'frame_index' in results
        results['audio'] = source if is_cut_later else source.cut()
        results['sample_rate'] = self.sample_rate
        return results

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}(sample_rate={self.sample_rate}, '
            f"channels='{self.channels}', backend_args={self.backend_args})"
        )
