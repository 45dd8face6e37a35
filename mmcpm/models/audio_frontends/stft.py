"""Waveform to spectrogram, on the device (CPM, appendix A).

The paper states a short-time Fourier transform of 512 points with a Hann
window of 400 samples every 160 samples at 16 kHz, giving 96 x 256 values for
one second and 300 x 256 for three.
"""

import torch
import torch.nn as nn
from mmseg.registry import MODELS
from torch import Tensor

COMPRESSIONS = ('vggish', 'db', 'linear')
# The public VGGish adds this before the logarithm.
VGGISH_LOG_OFFSET = 0.01
# -100 dB, the floor that CAVP uses.
MAGNITUDE_FLOOR = 1e-5


def stft_magnitude(
    waveform: Tensor, n_fft: int, window: Tensor, hop_length: int
) -> Tensor:
    """Magnitude of the centered short-time Fourier transform.

    Args:
        waveform (Tensor): Samples, ``[..., S]`` float32, S > ``n_fft // 2``.
        n_fft (int): Length of the transform in samples.
        window (Tensor): Analysis window, ``[win_length]``; it is centered in
            the transform if it is shorter.
        hop_length (int): Samples between two frames.

    Returns:
        Tensor: ``[..., T, F]`` with ``T = S // hop_length + 1`` frames as
        rows and ``F = n_fft // 2 + 1`` frequencies as columns.
    """
    spectrum = torch.stft(
        waveform.reshape(-1, waveform.shape[-1]),
        n_fft=n_fft,
        hop_length=hop_length,
        win_length=window.numel(),
        window=window,
        center=True,
        pad_mode='reflect',
        return_complex=True,
    )  # [prod(...), F, T]
    magnitude = spectrum.abs().transpose(1, 2)  # [prod(...), T, F]
    return magnitude.reshape(*waveform.shape[:-1], *magnitude.shape[1:])


def compress_magnitude(magnitude: Tensor, compression: str) -> Tensor:
    """Bring a linear magnitude to the range a network is fed with.

    Args:
        magnitude (Tensor): Linear magnitude, any shape, not negative.
        compression (str): 'vggish': ``ln(a + 0.01)``, the scale that the
            public VGGish weights expect; 'db': ``20 log10(a) / 100`` with a
            floor at -100 dB, CAVP's normalization; 'linear': unchanged.

    Returns:
        Tensor: Same shape.
    """
    if compression == 'vggish':
        return torch.log(magnitude + VGGISH_LOG_OFFSET)
    if compression == 'db':
        return 0.2 * torch.log10(magnitude.clamp(min=MAGNITUDE_FLOOR))
    if compression == 'linear':
        return magnitude
    raise ValueError(
        f'compression must be one of {COMPRESSIONS}, but got {compression!r}.'
    )


@MODELS.register_module()
class AudioFrontend(nn.Module):
    """Makes the spectrogram that the audio backbone sees.

    Always computed in float32, whatever autocast says: half precision loses
    the quiet partials before the logarithm.

    Args:
        sample_rate (int): Rate of the waveforms in Hz.
        n_fft (int): Length of the transform in samples.
        win_length (int): Length of the Hann window in samples.
        hop_length (int): Samples between two frames.
        num_frames (int): Frames kept from the start (96 for 1 s, 300 for
            3 s: the centered transform yields 101 and 301).
        compression (str): See :func:`compress_magnitude`.
    """

    def __init__(
        self,
        *,
        sample_rate: int = 16000,
        n_fft: int = 512,
        win_length: int = 400,
        hop_length: int = 160,
        num_frames: int = 96,
        compression: str = 'vggish',
    ) -> None:
        super().__init__()
        if compression not in COMPRESSIONS:
            raise ValueError(
                f'compression must be one of {COMPRESSIONS}, '
                f'but got {compression!r}.'
            )
        if not 0 < win_length <= n_fft:
            raise ValueError(
                'win_length must lie in 1..n_fft, but got '
                f'win_length={win_length}, n_fft={n_fft}.'
            )
        self.sample_rate = sample_rate
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.num_frames = num_frames
        self.num_bins = n_fft // 2
        self.compression = compression
        # A constant, not a state: it does not belong into checkpoints.
        self.register_buffer(
            'window', torch.hann_window(win_length), persistent=False
        )

    @property
    def min_samples(self) -> int:
        """Fewest samples that give ``num_frames`` frames."""
        return max(
            (self.num_frames - 1) * self.hop_length, self.n_fft // 2 + 1
        )

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the magnitude and the network's input.

        Args:
            waveform (Tensor): ``[B, channels, S]``, float, at
                ``sample_rate`` Hz, S >= ``min_samples``.

        Returns:
            tuple[Tensor, Tensor]: The linear magnitude (or what a subclass
            transforms to) and its compression, each
            ``[B, channels, num_frames, num_bins]`` float32.

        Raises:
            ValueError: If the waveform has another number of dimensions or
                is too short.
        """
        name = type(self).__name__
        if waveform.dim() != 3:
            raise ValueError(
                f'{name} expects waveforms of shape '
                '[batch, channels, samples], but got '
                f'{list(waveform.shape)}.'
            )
        if waveform.shape[-1] < self.min_samples:
            raise ValueError(
                f'{name} makes {self.num_frames} frames and needs at '
                f'least {self.min_samples} samples '
                f'({self.min_samples / self.sample_rate:.2f} s at '
                f'{self.sample_rate} Hz), but got {waveform.shape[-1]}. Set '
                '`seconds` of CutAudioToFrame and `num_frames` here to the '
                'same duration.'
            )
        with torch.autocast(waveform.device.type, enabled=False):
            linear = self.transform(waveform.float())
            linear = linear[..., : self.num_frames, :]
            return linear, self.compress(linear)

    def transform(self, waveform: Tensor) -> Tensor:
        """Compute the linear spectrogram of all frames.

        Args:
            waveform (Tensor): ``[B, channels, S]`` float32.

        Returns:
            Tensor: ``[B, channels, T, num_bins]``, at least ``num_frames``
            frames.
        """
        magnitude = stft_magnitude(
            waveform, self.n_fft, self.window, self.hop_length
        )
        # The last frequency, Nyquist's, is left out.
        return magnitude[..., : self.num_bins]

    def compress(self, magnitude: Tensor) -> Tensor:
        """Make the network's input of linear magnitudes.

        Args:
            magnitude (Tensor): Any shape.

        Returns:
            Tensor: Same shape, float32.
        """
        with torch.autocast(magnitude.device.type, enabled=False):
            return compress_magnitude(magnitude.float(), self.compression)
