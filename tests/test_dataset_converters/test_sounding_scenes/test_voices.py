import numpy as np
import pytest

from mmcpm.dataset_converters.sounding_scenes.presets import HARD_CLASSES
from mmcpm.dataset_converters.sounding_scenes.voices import (
    SAMPLE_RATE,
    Buzz,
    Chirps,
    Hiss,
    Melody,
    Strikes,
    Sweep,
    Thumps,
    band_noise,
)

NOISELESS = (
    'bell',
    'siren',
    'cricket',
    'engine',
    'lark',
    'clock',
    'violin',
    'frog',
)
# The hard classes contain those of the demo.
VOICES = {cls.name: cls.voice for cls in HARD_CLASSES}


def seconds(start, stop):
    return np.arange(start * SAMPLE_RATE, stop * SAMPLE_RATE) / SAMPLE_RATE


def render(voice, t, seed=0):
    rng = np.random.default_rng(seed)
    return voice.instance(rng)(t, rng)


def strongest_pitch(wave):
    """Frequency of the highest spectral line in Hz, to 1 Hz."""
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), SAMPLE_RATE))
    return float(np.argmax(spectrum))


def power_share(wave, low, high):
    power = np.abs(np.fft.rfft(wave)) ** 2
    frequency = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)
    return power[(frequency >= low) & (frequency <= high)].sum() / power.sum()


@pytest.mark.parametrize('name', VOICES)
def test_every_second_can_be_heard(name):
    for seed in range(5):
        wave = render(VOICES[name], seconds(seed, seed + 1), seed)
        assert wave.shape == (SAMPLE_RATE,)
        assert np.isfinite(wave).all()
        tenths = np.sqrt(np.mean(wave.reshape(10, -1) ** 2, axis=1))
        assert tenths.max() > 0.05


@pytest.mark.parametrize('name', NOISELESS)
def test_a_source_is_continuous_over_seconds(name):
    rng = np.random.default_rng(3)
    source = VOICES[name].instance(rng)
    whole = source(seconds(0, 3), rng)
    parts = [source(seconds(s, s + 1), rng) for s in range(3)]
    np.testing.assert_allclose(whole, np.concatenate(parts), atol=1e-9)


@pytest.mark.parametrize('name', VOICES)
def test_sources_of_a_voice_differ(name):
    waves = [render(VOICES[name], seconds(0, 1), seed) for seed in (1, 2)]
    correlation = np.corrcoef(*waves)[0, 1]
    assert abs(correlation) < 0.9


def test_band_noise_has_unit_power_inside_its_band():
    noise = band_noise(SAMPLE_RATE, 1000, 2000, np.random.default_rng(0))
    assert np.mean(noise**2) == pytest.approx(1)
    assert power_share(noise, 1000, 2000) == pytest.approx(1)
    assert power_share(noise, 1000, 1500) == pytest.approx(0.5, abs=0.1)


def test_strikes_ring_at_their_partials_and_die_away():
    voice = Strikes((600, 600), (1, 1), (0.2, 0.2), (1, 2.5))
    rng = np.random.default_rng(0)
    # The phase of the strokes is random: find the stroke.
    wave = voice.instance(rng)(seconds(0, 2), rng)
    onset = int(np.argmax(np.abs(wave[:SAMPLE_RATE]) > 0.3))
    ring = wave[onset : onset + SAMPLE_RATE]
    assert power_share(ring, 590, 610) + power_share(ring, 1490, 1510) > 0.9
    early, late = ring[:1600], ring[-3200:-1600]
    assert np.abs(late).max() < 0.05 * np.abs(early).max()


def test_thumps_are_low_and_as_many_as_their_rate():
    wave = render(Thumps((80, 80), (5, 5), (0.06, 0.06)), seconds(0, 1))
    assert power_share(wave, 0, 1600) > 0.98
    power = np.mean(wave.reshape(100, -1) ** 2, axis=1)
    assert np.argmax(np.abs(np.fft.rfft(power - power.mean()))) == 5


def test_sweep_swings_between_its_limits():
    voice = Sweep((1000, 1000), (1, 1), (0.3, 0.3), overtones=(1.0,))
    wave = render(voice, seconds(0, 1))
    pitches = [strongest_pitch(part) for part in wave.reshape(40, -1)]
    assert min(pitches) == pytest.approx(700, abs=25)
    assert max(pitches) == pytest.approx(1300, abs=25)


def test_chirps_are_groups_of_whole_pulses():
    wave = render(Chirps((5000, 5000), (2, 2), (25, 25)), seconds(0, 1))
    assert power_share(wave, 4800, 5200) > 0.98
    # Two groups of seven pulses of 20 ms: 0.72 s are silent, less the parts
    # of 5 ms that a pulse only touches.
    level = np.abs(wave).reshape(-1, 80).max(axis=1)
    assert 0.6 < np.mean(level < 1e-6) < 0.75
    # Pulses begin and end at zero: no jump between samples is a click.
    steps = np.abs(np.diff(wave))
    assert steps.max() < 2 * np.pi * 5000 / SAMPLE_RATE


def test_buzz_has_all_harmonics_of_its_pitch():
    voice = Buzz((100, 100), (10, 10), (600, 600))
    wave = render(voice, seconds(0, 1))
    for harmonic in (100, 500, 1000):
        assert power_share(wave, harmonic - 12, harmonic + 12) > 20 * (
            power_share(wave, harmonic + 30, harmonic + 54)
        )
    throbs = np.mean(wave.reshape(100, -1) ** 2, axis=1)
    spectrum = np.abs(np.fft.rfft(throbs - throbs.mean()))
    assert np.argmax(spectrum) == 10


def test_hiss_stays_in_its_band():
    wave = render(Hiss((1500, 1500), (6000, 6000), (1, 1)), seconds(0, 1))
    assert power_share(wave, 1490, 6010) > 0.99


def test_melody_plays_different_notes():
    wave = render(Melody((1600, 1600), (8, 8)), seconds(0, 2))
    pitches = {
        round(strongest_pitch(part), -1) for part in wave.reshape(64, -1)
    }
    assert len(pitches) >= 6
    assert min(pitches) >= 1550
