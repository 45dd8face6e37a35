"""Voices of the classes of a sounding scene.

A voice holds ranges of pitch, rate and so on. ``instance`` draws one source
from them and returns a function ``(t, rng) -> waveform`` that is continuous
over the seconds of a clip: t are the times in seconds, float64, shape (S,);
rng supplies the noise in it, if any. Levels are set by the caller.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial

import numpy as np

SAMPLE_RATE = 16000
Source = Callable[[np.ndarray, np.random.Generator], np.ndarray]
Range = tuple[float, float]
# Pentatonic, as factors of the lowest note.
SCALE = 2 ** (np.array([0, 3, 5, 7, 10, 12]) / 12)


@dataclass(frozen=True)
class Voice:
    """Voice of a class: a distribution over sources.

    Subclasses hold ranges, and render a source of the numbers drawn from them.
    """

    def instance(self, rng: np.random.Generator) -> Source:
        """Draw a source: a number of every range, a phase, and the details."""
        ranges = [f.name for f in fields(self) if f.type is Range]
        numbers = [rng.uniform(*getattr(self, name)) for name in ranges]
        phase = rng.uniform()
        return partial(self.render, *numbers, phase, *self.draw_details(rng))

    def draw_details(self, rng: np.random.Generator) -> tuple:
        """Draw what a source has beside."""
        return ()


def band_noise(
    samples: int, low: float, high: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw Gaussian noise between two frequencies.

    Args:
        samples (int): Number of samples S.
        low (float): Lower edge, Hz.
        high (float): Upper edge, Hz.
        rng (np.random.Generator): Source of randomness.

    Returns:
        np.ndarray: Waveform of unit power, float64, shape (S,).
    """
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequency = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE)
    spectrum[(frequency < low) | (frequency > high)] = 0
    noise = np.fft.irfft(spectrum, samples)
    return noise / np.sqrt(np.mean(noise**2))


def _since_event(t: np.ndarray, rate: float, phase: float) -> np.ndarray:
    """Seconds since the last event of a regular series."""
    return ((t * rate + phase) % 1) / rate


@dataclass(frozen=True)
class Strikes(Voice):
    """Strokes on a resonator: partials that ring and die away.

    Args:
        pitch (Range): Lowest partial, Hz.
        rate (Range): Strokes per second.
        decay (Range): Time constant of the lowest partial, seconds.
        partials (tuple[float, ...]): Frequencies relative to the lowest.
    """

    pitch: Range
    rate: Range
    decay: Range
    partials: tuple[float, ...]

    def draw_details(self, rng: np.random.Generator) -> tuple:
        """Draw the level of every partial."""
        return (rng.uniform(0.6, 1.0, len(self.partials)),)

    def render(self, pitch, rate, decay, phase, levels, t, rng) -> np.ndarray:
        """Render seconds of a source."""
        age = _since_event(t, rate, phase)
        wave = np.zeros_like(t)
        for ratio, level in zip(self.partials, levels, strict=True):
            # High partials die first, as on a struck bell.
            wave += (
                level
                * np.exp(-age * ratio**0.4 / decay)
                * np.sin(2 * np.pi * pitch * ratio * age)
            )
        return wave * np.minimum(age / 0.002, 1)


@dataclass(frozen=True)
class Thumps(Voice):
    """Beats of a skin: a falling low tone under a burst of noise.

    Args:
        pitch (Range): Tone long after the beat, Hz.
        rate (Range): Beats per second.
        decay (Range): Time constant, seconds.
    """

    pitch: Range
    rate: Range
    decay: Range

    def render(self, pitch, rate, decay, phase, t, rng) -> np.ndarray:
        """Render seconds of a source."""
        age = _since_event(t, rate, phase)
        # Instantaneous frequency pitch * (1 + 3 exp(-age / 0.03)).
        cycles = pitch * (age + 0.09 * (1 - np.exp(-age / 0.03)))
        tone = np.sin(2 * np.pi * cycles) * np.exp(-age / decay)
        burst = band_noise(len(t), 80, 1500, rng) * np.exp(-age / 0.03)
        return tone + 0.5 * burst


@dataclass(frozen=True)
class Sweep(Voice):
    """A tone with overtones whose pitch swings around its mean.

    Args:
        pitch (Range): Mean pitch, Hz.
        rate (Range): Swings per second.
        depth (Range): Largest deviation as a share of the mean.
        overtones (tuple[float, ...]): Level of each harmonic, first to last.
        breath (float): Level of noise in the octave around the mean pitch.
    """

    pitch: Range
    rate: Range
    depth: Range
    overtones: tuple[float, ...] = (1.0, 0.5, 0.25)
    breath: float = 0.0

    def render(self, pitch, rate, depth, phase, t, rng) -> np.ndarray:
        """Render seconds of a source."""
        start = 2 * np.pi * phase
        angle = 2 * np.pi * rate * t + start
        # The integral of 1 + depth * sin(angle).
        cycles = pitch * (t - depth * np.cos(angle) / (2 * np.pi * rate))
        wave = sum(
            level * np.sin(2 * np.pi * k * cycles)
            for k, level in enumerate(self.overtones, start=1)
        )
        if self.breath:
            wave = wave + self.breath * band_noise(
                len(t), pitch * 0.7, pitch * 1.4, rng
            )
        return wave


@dataclass(frozen=True)
class Chirps(Voice):
    """Groups of short pulses of one high tone.

    Args:
        pitch (Range): Tone, Hz.
        rate (Range): Groups per second.
        pulses (Range): Pulses per second within a group.
        duty (float): Share of the time a group lasts.
    """

    pitch: Range
    rate: Range
    pulses: Range
    duty: float = 0.55

    def render(self, pitch, rate, pulses, phase, t, rng) -> np.ndarray:
        """Render seconds of a source."""
        age = _since_event(t, rate, phase)
        pulse = np.clip(np.sin(2 * np.pi * pulses * age), 0, None)
        # A group ends with a whole pulse: cutting one would click.
        gate = np.floor(pulses * age) / pulses * rate < self.duty
        return np.sin(2 * np.pi * pitch * age) * pulse * gate


@dataclass(frozen=True)
class Buzz(Voice):
    """A low pulse train: many harmonics that throb together.

    Args:
        pitch (Range): Fundamental, Hz.
        throb (Range): Throbs per second.
        brightness (Range): Frequency where harmonics have lost half of
            their level, Hz.
    """

    pitch: Range
    throb: Range
    brightness: Range
    harmonics: int = 24

    def render(self, pitch, throb, bright, phase, t, rng) -> np.ndarray:
        """Render seconds of a source."""
        order = np.arange(1, self.harmonics + 1)
        levels = 1 / (1 + (order * pitch / bright) ** 2)
        # One period in a table: far cheaper than a sum of sines.
        angle = 2 * np.pi * np.arange(512) / 512
        period = (levels[:, None] * np.cos(order[:, None] * angle)).sum(0)
        wave = np.interp(
            t * pitch % 1 * 512,
            np.arange(513),
            np.append(period, period[0]),
        )
        swell = np.sin(2 * np.pi * (throb * t + phase))
        return wave * (1 + 0.6 * swell)


@dataclass(frozen=True)
class Hiss(Voice):
    """A band of noise that swells and fades.

    Args:
        low (Range): Lower edge, Hz.
        high (Range): Upper edge, Hz.
        swell (Range): Swells per second.
    """

    low: Range
    high: Range
    swell: Range

    def render(self, low, high, swell, phase, t, rng) -> np.ndarray:
        """Render seconds of a source."""
        level = 1 + 0.5 * np.sin(2 * np.pi * (swell * t + phase))
        return level * band_noise(len(t), low, high, rng)


@dataclass(frozen=True)
class Melody(Voice):
    """A song of short notes on a pentatonic scale.

    Args:
        pitch (Range): Lowest note, Hz.
        rate (Range): Notes per second.
    """

    pitch: Range
    rate: Range

    def draw_details(self, rng: np.random.Generator) -> tuple:
        """Draw the order of the notes."""
        return (rng.permutation(SCALE),)

    def render(self, pitch, rate, phase, order, t, rng) -> np.ndarray:
        """Render seconds of a source."""
        tune = pitch * order
        age = _since_event(t, rate, phase)
        note = tune[np.floor(t * rate + phase).astype(int) % len(tune)]
        angle = 2 * np.pi * note * age
        shape = np.sin(np.pi * np.minimum(age * rate / 0.85, 1))
        return shape * (np.sin(angle) + 0.3 * np.sin(2 * angle))
