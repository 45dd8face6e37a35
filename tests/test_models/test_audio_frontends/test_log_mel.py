"""Mel front ends against those of the compared code bases.

The golden numbers are every n-th value of what torchvggish and CAVP make of
:func:`wave`.
"""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcpm.datasets.transforms import CutAudioToFrame
from mmcpm.models.audio_frontends import LogMelFrontend, MelDecibelFrontend
from mmcpm.models.audio_frontends.log_mel import (
    framed_magnitude,
    mel_filters,
    to_mel,
)

GOLDENS = Path(__file__).parents[2] / 'data/baselines/audio_frontends.npz'


def wave(seed, samples):
    """Noise and three rising tones, float32 ``[samples]``."""
    time = np.arange(samples) / 16000
    sound = 0.05 * np.random.RandomState(seed).standard_normal(samples)
    for frequency, level in ((220, 0.2), (1000, 0.1), (3100, 0.05)):
        angle = 2 * np.pi * frequency * time * (1 + 0.1 * time)
        sound += level * np.sin(angle)
    return np.clip(sound, -1, 1).astype(np.float32)


def check_golden(name, spectrogram):
    goldens = np.load(GOLDENS)
    sample = spectrogram.flatten()[:: int(goldens[f'{name}_step'])]
    expected = torch.from_numpy(goldens[name])
    torch.testing.assert_close(sample, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ('name', 'seed', 'seconds'), [('log_mel_5s', 7, 5), ('log_mel_10s', 9, 10)]
)
def test_golden_log_mel_of_a_clip(name, seed, seconds):
    """Examples of 0.96 s, as VGGish's own code cuts a clip."""
    clip = wave(seed, 16000 * seconds)[None]
    windows = [
        CutAudioToFrame(step=0.96)(
            {'audio': clip, 'sample_rate': 16000, 'frame_index': index}
        )['audio']
        for index in range(seconds)
    ]
    windows = torch.from_numpy(np.stack(windows))
    linear, spectrogram = LogMelFrontend()(windows)
    assert spectrogram.shape == linear.shape == (seconds, 1, 96, 64)
    check_golden(name, spectrogram)
    torch.testing.assert_close(spectrogram, (linear + 0.01).log())


def test_golden_mel_decibels():
    sound = torch.from_numpy(wave(8, 16000))[None, None]
    power, spectrogram = MelDecibelFrontend()(sound)
    assert spectrogram.shape == power.shape == (1, 1, 96, 64)
    check_golden('mel_db_1s', spectrogram)
    expected = 20 * power.clamp(min=1e-5).log10() / 100
    torch.testing.assert_close(spectrogram, expected)


def test_golden_mel_decibels_of_stereo():
    sound = torch.from_numpy(wave(8, 48000))
    sound = torch.stack([0.3 * sound, 0.7 * sound])[None]
    _, spectrogram = MelDecibelFrontend(num_frames=300)(sound)
    assert spectrogram.shape == (1, 2, 300, 64)
    check_golden('mel_db_3s_stereo', spectrogram)


@pytest.mark.parametrize(
    ('kind', 'silence'),
    [(LogMelFrontend, math.log(0.01)), (MelDecibelFrontend, -1.0)],
)
def test_silence(kind, silence):
    linear, spectrogram = kind()(torch.zeros(2, 1, 16000))
    assert not linear.any()
    torch.testing.assert_close(
        spectrogram, torch.full_like(spectrogram, silence)
    )


@pytest.mark.parametrize('kind', [LogMelFrontend, MelDecibelFrontend])
def test_interface_of_a_front_end(kind):
    frontend = kind(num_frames=20)
    sound = torch.from_numpy(wave(3, frontend.min_samples + 5))[None, None]
    expected = frontend(sound)
    # Nothing after the shortest window counts, nothing of it is missing.
    shortest = sound[..., : frontend.min_samples].clone()
    assert frontend(shortest)[1].shape == (1, 1, 20, 64)
    with torch.autocast('cpu', torch.bfloat16):
        found = frontend(sound)
    for value, other in zip(found, expected, strict=True):
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, other, rtol=0, atol=0)
    torch.testing.assert_close(frontend.compress(found[0]), found[1])
    assert not frontend.state_dict()
    assert frontend.sample_rate == 16000 and frontend.num_bins == 64


@pytest.mark.parametrize(
    ('kind', 'samples'), [(LogMelFrontend, 15600), (MelDecibelFrontend, 15200)]
)
def test_bad_waveforms(kind, samples):
    frontend = kind()
    assert frontend.min_samples == samples
    message = rf'{kind.__name__}.*least {samples} samples.*got {samples - 1}'
    with pytest.raises(ValueError, match=message):
        frontend(torch.zeros(1, 1, samples - 1))
    with pytest.raises(ValueError, match=rf'{kind.__name__}.*\[1, 16000\]'):
        frontend(torch.zeros(1, 16000))


def test_a_frame_begins_at_its_hop():
    """By hand: a plain Fourier sum over 400 samples."""
    sound = torch.from_numpy(wave(4, 1500)).double()
    window = torch.hann_window(400, dtype=torch.float64)
    found = framed_magnitude(sound, 512, window, 160)
    assert found.shape == (7, 257)
    n = torch.arange(400, dtype=torch.float64)
    for k in (0, 9, 256):
        angle = -2 * math.pi * k * n / 512
        segment = sound[3 * 160 : 3 * 160 + 400] * window
        expected = math.hypot(
            (segment * angle.cos()).sum(), (segment * angle.sin()).sum()
        )
        assert found[3, k].item() == pytest.approx(expected, rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 256),
    st.integers(0, 63),
    st.sampled_from(['mel', 'hertz']),
)
def test_triangles_by_hand(k, band, axis):
    """One weight, from its definition."""

    def mel(frequency):
        return 1127.0 * math.log(1 + frequency / 700)

    low, high = mel(125), mel(7500)
    edges = [low + (high - low) * (band + i) / 65 for i in range(3)]
    position = k * 8000 / 256
    if axis == 'mel':
        position = mel(position)
    else:
        edges = [700 * (math.exp(edge / 1127) - 1) for edge in edges]
    left, center, right = edges
    if left <= position <= center:
        expected = (position - left) / (center - left)
    elif center < position <= right:
        expected = (right - position) / (right - center)
    else:
        expected = 0
    filters = mel_filters(257, 64, 125, 7500, 16000, axis)
    assert filters[k, band].item() == pytest.approx(expected, abs=1e-4)


def test_mel_of_1000_hertz():
    # The scale is made to give 1000 mel there.
    assert to_mel(torch.tensor(1000.0)).item() == pytest.approx(1000, abs=0.1)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(high=9000), 'between 0 and 8000 Hz.*125 to 9000'),
        (dict(low=8000.0), 'between 0 and 8000'),
        (dict(win_length=600), 'win_length'),
    ],
)
def test_bad_arguments(arguments, message):
    for kind in (LogMelFrontend, MelDecibelFrontend):
        with pytest.raises(ValueError, match=message):
            kind(**arguments)


def test_bad_axis():
    with pytest.raises(ValueError, match="'mel', 'hertz'.*'bark'"):
        mel_filters(257, 64, 125, 7500, 16000, 'bark')
