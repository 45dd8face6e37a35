"""Mel spectrograms as the compared methods make them.

TPAVI, AVSegFormer and COMBO read the log-mel examples of the public VGGish
(Hershey et al., ICASSP 2017): 96 frames x 64 bands of a magnitude. CAVP reads
96 or 300 frames x 64 bands of a power in decibels.
"""

import torch
from mmseg.registry import MODELS
from torch import Tensor

from .stft import AudioFrontend, stft_magnitude

# Where the triangles of a filter bank are straight lines.
AXES = ('mel', 'hertz')


def to_mel(frequency: Tensor) -> Tensor:
    """Bring frequencies to the mel scale of HTK.

    Args:
        frequency (Tensor): Hz, any shape.

    Returns:
        Tensor: Mel, same shape.
    """
    return 2595 * torch.log10(1 + frequency / 700)


def mel_filters(
    num_bins: int,
    num_bands: int,
    low: float,
    high: float,
    sample_rate: int,
    axis: str,
) -> Tensor:
    """Weights of overlapping triangles, evenly spaced on the mel scale.

    Args:
        num_bins (int): Bins of the spectrum, from 0 Hz to half the sample
            rate.
        num_bands (int): Triangles.
        low (float): Lower end of the first triangle, Hz.
        high (float): Upper end of the last one, Hz.
        sample_rate (int): Hz.
        axis (str): 'mel': the triangles are straight over mel, as for
            VGGish; 'hertz': straight over Hz, as in torchaudio and librosa.

    Returns:
        Tensor: ``[num_bins, num_bands]`` float32, between 0 and 1.
    """
    nyquist = sample_rate / 2
    if axis not in AXES:
        raise ValueError(f'axis must be one of {AXES}, but got {axis!r}.')
    if not 0 <= low < high <= nyquist:
        raise ValueError(
            f'mel bands must lie between 0 and {nyquist:g} Hz, half the '
            f'sample rate, but got {low:g} to {high:g} Hz.'
        )
    ends = to_mel(torch.tensor([low, high], dtype=torch.float64))
    edges = torch.linspace(*ends.tolist(), num_bands + 2, dtype=torch.float64)
    bins = torch.linspace(0, nyquist, num_bins, dtype=torch.float64)
    if axis == 'mel':
        bins = to_mel(bins)
    else:
        edges = 700 * (10 ** (edges / 2595) - 1)
    left, center, right = edges[:-2], edges[1:-1], edges[2:]
    rise = (bins[:, None] - left) / (center - left)
    fall = (right - bins[:, None]) / (right - center)
    return torch.minimum(rise, fall).clamp(min=0).float()


def framed_magnitude(
    waveform: Tensor, n_fft: int, window: Tensor, hop_length: int
) -> Tensor:
    """Magnitude of a short-time Fourier transform without any padding.

    Args:
        waveform (Tensor): Samples, ``[..., S]`` float32, S at least the
            length of the window.
        n_fft (int): Length of the transform in samples.
        window (Tensor): Analysis window, ``[win_length]``.
        hop_length (int): Samples between two frames; frame ``t`` begins at
            sample ``t * hop_length``.

    Returns:
        Tensor: ``[..., T, n_fft // 2 + 1]`` of
        ``T = (S - win_length) // hop_length + 1`` frames.
    """
    frames = waveform.unfold(-1, window.numel(), hop_length)
    return torch.fft.rfft(frames * window, n=n_fft).abs()


class _MelFrontend(AudioFrontend):
    """What the front ends with mel bands share.

    Args:
        num_bands (int): Mel bands.
        low (float): Lower end of the first band, Hz.
        high (float): Upper end of the last band, Hz.
        axis (str): See :func:`mel_filters`.
        **kwargs: Arguments of AudioFrontend.
    """

    def __init__(
        self, *, num_bands: int, low: float, high: float, axis: str, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        filters = mel_filters(
            self.n_fft // 2 + 1, num_bands, low, high, self.sample_rate, axis
        )
        self.num_bins = num_bands
        self.register_buffer('filters', filters, persistent=False)


@MODELS.register_module()
class LogMelFrontend(_MelFrontend):
    """Makes VGGish's examples: ``ln(mel + 0.01)`` of the magnitude.

    The transform is not centered: frame ``t`` begins at sample
    ``t * hop_length``, so that 96 frames take 15600 samples. They are the
    first frames of the waveform that ``CutAudioToFrame`` cuts.

    Args:
        num_bands (int): Mel bands.
        low (float): Lower end of the first band, Hz.
        high (float): Upper end of the last band, Hz.
        **kwargs: Arguments of AudioFrontend but ``compression``.
    """

    def __init__(
        self,
        *,
        num_bands: int = 64,
        low: float = 125.0,
        high: float = 7500.0,
        **kwargs,
    ) -> None:
        super().__init__(
            num_bands=num_bands,
            low=low,
            high=high,
            axis='mel',
            compression='vggish',
            **kwargs,
        )

    @property
    def min_samples(self) -> int:
        """Fewest samples that give ``num_frames`` frames."""
        return (self.num_frames - 1) * self.hop_length + self.window.numel()

    def transform(self, waveform: Tensor) -> Tensor:
        """Compute the magnitude in mel bands.

        Args:
            waveform (Tensor): ``[B, channels, S]`` float32.

        Returns:
            Tensor: ``[B, channels, T, num_bands]``.
        """
        magnitude = framed_magnitude(
            waveform, self.n_fft, self.window, self.hop_length
        )
        return magnitude @ self.filters


@MODELS.register_module()
class MelDecibelFrontend(_MelFrontend):
    """Makes CAVP's input: ``20 log10(mel)`` of the power, over 100.

    The transform is centered, the power has a floor of 1e-5: silence is -1.

    Args:
        num_bands (int): Mel bands.
        low (float): Lower end of the first band, Hz.
        high (float): Upper end of the last band, Hz.
        **kwargs: Arguments of AudioFrontend but ``compression``.
    """

    def __init__(
        self,
        *,
        num_bands: int = 64,
        low: float = 125.0,
        high: float = 3800.0,
        **kwargs,
    ) -> None:
        super().__init__(
            num_bands=num_bands,
            low=low,
            high=high,
            axis='hertz',
            compression='db',
            **kwargs,
        )

    def transform(self, waveform: Tensor) -> Tensor:
        """Compute the power in mel bands.

        Args:
            waveform (Tensor): ``[B, channels, S]`` float32.

        Returns:
            Tensor: ``[B, channels, T, num_bands]``.
        """
        magnitude = stft_magnitude(
            waveform, self.n_fft, self.window, self.hop_length
        )
        return magnitude.square() @ self.filters
