"""Schedule of the sounding classes of a clip, and its waveform.

Nothing here knows how objects look or move: what is heard depends on the
classes in view and on a random generator of its own.
"""

from dataclasses import dataclass

import numpy as np

from .presets import Preset
from .voices import SAMPLE_RATE, band_noise

# Levels in dB relative to full scale (root mean square over a second).
LOUDNESS_DB = (-28.0, -18.0)
FADE_SECONDS = 0.015


@dataclass(frozen=True)
class Schedule:
    """Class ids that are heard in each second of a clip.

    Args:
        sounding (tuple[tuple[int, ...], ...]): Sounding classes in view,
            ascending, by second.
        offscreen (tuple[tuple[int, ...], ...]): Sounding classes out of
            view, ascending, by second.
    """

    sounding: tuple[tuple[int, ...], ...]
    offscreen: tuple[tuple[int, ...], ...]

    @property
    def heard(self) -> tuple[tuple[int, ...], ...]:
        """tuple[tuple[int, ...], ...]: All sounding classes by second."""
        return tuple(
            tuple(sorted(seen + unseen))
            for seen, unseen in zip(self.sounding, self.offscreen, strict=True)
        )


def draw_schedule(
    preset: Preset,
    subset: str,
    visible: tuple[int, ...],
    seconds: int,
    rng: np.random.Generator,
) -> Schedule:
    """Draw who sounds in every second.

    In ``v1s`` clips one object is the only one ever heard. In the other
    subsets every second is drawn anew.

    Args:
        preset (Preset): The world.
        subset (str): ``'v1s'``, ``'v1m'`` or ``'v2'``.
        visible (tuple[int, ...]): Class ids in view.
        seconds (int): Length of the clip.
        rng (np.random.Generator): Source of randomness.

    Returns:
        Schedule: Heard classes.
    """
    # Ascending order: the draw must not see the depth order of the objects.
    visible = sorted(visible)
    unseen = sorted(set(range(1, len(preset.classes) + 1)) - set(visible))
    soloist = (int(rng.choice(visible)),)
    sounding, offscreen = [], []
    for _ in range(seconds):
        seen, out_of_view = (), ()
        event = rng.uniform()
        if event >= preset.silence:
            seen = soloist
            if subset != 'v1s':
                seen = _draw_sounding(preset, visible, rng)
                if event < preset.silence + preset.offscreen and unseen:
                    out_of_view = (int(rng.choice(unseen)),)
                    if rng.uniform() < preset.offscreen_alone:
                        seen = ()
        sounding.append(seen)
        offscreen.append(out_of_view)
    return Schedule(tuple(sounding), tuple(offscreen))


def _draw_sounding(
    preset: Preset, visible: list[int], rng: np.random.Generator
) -> tuple[int, ...]:
    """Draw the visible classes that sound in one second, ascending."""
    count = rng.choice(list(preset.sounding), p=list(preset.sounding.values()))
    chosen = rng.choice(visible, min(int(count), len(visible)), replace=False)
    return tuple(sorted(int(c) for c in chosen))


def sounding_probability(
    preset: Preset, subset: str, num_visible: int
) -> float:
    """Probability that a given visible object sounds in a given second.

    Objects are exchangeable, so each expects an equal share of the objects
    that sound.

    Args:
        preset (Preset): The world.
        subset (str): ``'v1s'``, ``'v1m'`` or ``'v2'``.
        num_visible (int): Number of objects in view.

    Returns:
        float: Probability in [0, 1].
    """
    if subset == 'v1s':
        return (1 - preset.silence) / num_visible
    unseen = num_visible < len(preset.classes)
    alone = preset.offscreen * preset.offscreen_alone * unseen
    expected = sum(
        p * min(count, num_visible) for count, p in preset.sounding.items()
    )
    return (1 - preset.silence - alone) * expected / num_visible


def render_soundtrack(
    preset: Preset, schedule: Schedule, rng: np.random.Generator
) -> np.ndarray:
    """Mix the voices of a schedule.

    A class keeps its source (pitch, rate, loudness) through the clip.
    Every clip, silent or not, has a floor of noise.

    Args:
        preset (Preset): The world.
        schedule (Schedule): Heard classes.
        rng (np.random.Generator): Source of randomness.

    Returns:
        np.ndarray: Mono waveform in [-1, 1] at 16 kHz, float32, shape (S,).
    """
    seconds = len(schedule.heard)
    floor = 10 ** (rng.uniform(*preset.noise_floor_db) / 20)
    mix = floor * band_noise(seconds * SAMPLE_RATE, 20, SAMPLE_RATE / 2, rng)
    heard = sorted({c for second in schedule.heard for c in second})
    sources = {
        c: (
            preset.classes[c - 1].voice.instance(rng),
            10 ** (rng.uniform(*LOUDNESS_DB) / 20),
        )
        for c in heard
    }
    fade = np.minimum(np.arange(SAMPLE_RATE) / (FADE_SECONDS * SAMPLE_RATE), 1)
    gate = fade * fade[::-1]
    for second, classes in enumerate(schedule.heard):
        part = slice(second * SAMPLE_RATE, (second + 1) * SAMPLE_RATE)
        t = np.arange(part.start, part.stop) / SAMPLE_RATE
        for c in classes:
            source, level = sources[c]
            wave = source(t, rng)
            wave *= level / np.sqrt(np.mean(wave**2))
            mix[part] += gate * wave
    return np.clip(mix, -1, 1).astype(np.float32)
