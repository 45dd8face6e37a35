import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcpm.models.audio_frontends.stft import (
    AudioFrontend,
    compress_magnitude,
    stft_magnitude,
)


def sine(frequency=440.0, samples=16000, sample_rate=16000):
    time = torch.arange(samples, dtype=torch.float64) / sample_rate
    return torch.sin(2 * math.pi * frequency * time).float()


def test_golden_magnitude_of_a_sine():
    """Published front end: bin 14 of frame 50 is 99.74765."""
    magnitude, _ = AudioFrontend()(sine()[None, None])
    assert magnitude.shape == (1, 1, 96, 256)
    frame = magnitude[0, 0, 50]
    assert frame.argmax() == 14
    assert frame[14].item() == pytest.approx(99.74765, abs=2e-4)
    assert magnitude[0, 0, 0, 0].item() == pytest.approx(11.5461, abs=2e-4)


@pytest.mark.parametrize('seconds,frames,channels', [(1, 96, 1), (3, 300, 2)])
def test_shapes_of_the_paper(seconds, frames, channels):
    wave = torch.randn(2, channels, 16000 * seconds)
    magnitude, spectrogram = AudioFrontend(num_frames=frames)(wave)
    assert magnitude.shape == spectrogram.shape == (2, channels, frames, 256)


def test_one_frame_against_a_plain_fourier_sum():
    """A centered window of 400 in a transform of 512, by hand."""
    wave = torch.randn(4000, dtype=torch.float64)
    frame, hop, n_fft, win = 7, 160, 512, 400
    window = torch.zeros(n_fft, dtype=torch.float64)
    window[56:456] = torch.hann_window(win, dtype=torch.float64)
    start = frame * hop - n_fft // 2
    segment = wave[start : start + n_fft] * window
    n = torch.arange(n_fft, dtype=torch.float64)
    expected = []
    for k in range(257):
        angle = -2 * math.pi * k * n / n_fft
        expected.append(
            math.hypot(
                (segment * angle.cos()).sum(), (segment * angle.sin()).sum()
            )
        )
    magnitude = stft_magnitude(
        wave, n_fft, torch.hann_window(win, dtype=torch.float64), hop
    )
    torch.testing.assert_close(
        magnitude[frame], torch.tensor(expected, dtype=torch.float64)
    )


def test_dropped_bin():
    wave = torch.randn(1, 1, 16000)
    magnitude, _ = AudioFrontend()(wave)
    whole = stft_magnitude(wave, 512, torch.hann_window(400), 160)
    torch.testing.assert_close(magnitude, whole[..., :96, :256])


def test_compressions_by_hand():
    magnitude = torch.tensor([0.0, 1e-6, 1.0, 100.0])
    torch.testing.assert_close(
        compress_magnitude(magnitude, 'vggish'),
        torch.tensor(
            [
                math.log(0.01),
                math.log(1e-6 + 0.01),
                math.log(1.01),
                math.log(100.01),
            ]
        ),
    )
    # Silence is exactly -1, 0 dB is 0, 40 dB is 0.4.
    torch.testing.assert_close(
        compress_magnitude(magnitude, 'db'),
        torch.tensor([-1.0, -1.0, 0.0, 0.4]),
    )
    assert compress_magnitude(magnitude, 'linear') is magnitude
    with pytest.raises(ValueError, match="'vggish', 'db', 'linear'"):
        compress_magnitude(magnitude, 'log')


def test_silence_is_finite_and_constant():
    magnitude, spectrogram = AudioFrontend()(torch.zeros(1, 1, 16000))
    assert magnitude.abs().max() == 0
    torch.testing.assert_close(
        spectrogram, torch.full_like(spectrogram, math.log(0.01))
    )


@given(st.floats(200.0, 7000.0))
@settings(max_examples=15, deadline=None)
def test_peak_is_at_the_frequency(frequency):
    magnitude, _ = AudioFrontend()(sine(frequency)[None, None])
    peak = magnitude[0, 0, 48].argmax().item()
    assert abs(peak * 31.25 - frequency) <= 31.25


def test_full_precision_under_autocast():
    frontend, wave = AudioFrontend(), torch.randn(1, 1, 16000)
    expected, _ = frontend(wave)
    with torch.autocast('cpu', torch.bfloat16):
        magnitude, spectrogram = frontend(wave)
    assert magnitude.dtype == spectrogram.dtype == torch.float32
    torch.testing.assert_close(magnitude, expected, rtol=0, atol=0)


def test_window_is_not_in_checkpoints():
    assert not AudioFrontend().state_dict()


@pytest.mark.parametrize(
    'shape,message',
    [
        ((1, 16000), r'\[batch, channels, samples\].*\[1, 16000\]'),
        ((1, 1, 15199), 'at least 15200 samples.*got 15199.*seconds'),
    ],
)
def test_bad_waveforms(shape, message):
    with pytest.raises(ValueError, match=message):
        AudioFrontend()(torch.zeros(shape))


@pytest.mark.parametrize(
    'arguments',
    [
        dict(compression='log'),
        dict(win_length=600),
        dict(win_length=0),
    ],
)
def test_bad_arguments(arguments):
    with pytest.raises(ValueError):
        AudioFrontend(**arguments)
