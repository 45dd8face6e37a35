"""Figure of the sounds that prompts recover from mixtures (CPM, Figure 7)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

# Decibels between the darkest and the brightest color.
DYNAMIC_RANGE = 60.0
PANELS = ('mixture', 'noise', 'target', 'recovered')
HEADINGS = {
    'mixture': 'mixture',
    'noise': 'noise, from off the screen',
    'target': 'target',
    'recovered': 'recovered by the prompts',
}


class Recovery(NamedTuple):
    """A mixture and its parts, linear magnitudes ``[T, F]`` each."""

    title: str
    mixture: np.ndarray
    # What was mixed in, and what sounds in the frame.
    noise: np.ndarray
    target: np.ndarray
    # What the prompts take for the target.
    recovered: np.ndarray
    # Share of the ratio mask's variance that the prompts leave open: at 1
    # they are no better than this frame's best constant.
    unexplained: float


def masked_magnitude(mixture: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """Take the share of a mixture that a ratio mask gives to the target.

    Args:
        mixture (np.ndarray): Linear magnitude ``[T, F]``.
        ratio (np.ndarray): Ratio mask in 0..1, shape (T, F).

    Returns:
        np.ndarray: Linear magnitude ``[T, F]``.
    """
    return mixture * ratio


def decibels(magnitude: np.ndarray, peak: float) -> np.ndarray:
    """Bring a magnitude to decibels below a peak.

    Args:
        magnitude (np.ndarray): Linear, any shape, not negative.
        peak (float): Magnitude of 0 dB, positive.

    Returns:
        np.ndarray: Same shape, from ``-DYNAMIC_RANGE`` up.
    """
    floor = 10 ** (-DYNAMIC_RANGE / 20)
    return 20 * np.log10(np.maximum(magnitude / peak, floor))


def draw_spectrograms(
    rows: Sequence[Recovery], *, seconds_per_frame: float, hertz_per_bin: float
) -> Figure:
    """Draw mixture, noise, target and what was recovered, a frame per row.

    All panels share one scale, whose 0 dB is the loudest mixture.
    """
    # The floor lets silence be drawn.
    peak = max(1e-6, *(float(row.mixture.max()) for row in rows))
    figure = Figure((11, 0.2 + 2.3 * len(rows)), layout='constrained')
    body, side = figure.subfigures(1, 2, width_ratios=(12, 1))
    strips = body.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for row, strip in zip(rows, strips, strict=True):
        strip.suptitle(
            f'{row.title}   |   {100 * row.unexplained:.0f} % of the ratio '
            'mask unexplained',
            fontsize='medium',
        )
        all_axes = strip.subplots(1, len(PANELS), sharey=True)
        for name, axes in zip(PANELS, all_axes, strict=True):
            magnitude = getattr(row, name)
            num_frames, num_bins = magnitude.shape
            # Centers of pixels are where the spectra are.
            left, right = -0.5, num_frames - 0.5
            low, high = -0.5, num_bins - 0.5
            image = axes.imshow(
                decibels(magnitude, peak).T,
                cmap='magma',
                vmin=-DYNAMIC_RANGE,
                vmax=0,
                origin='lower',
                aspect='auto',
                interpolation='nearest',
                extent=(
                    left * seconds_per_frame,
                    right * seconds_per_frame,
                    low * hertz_per_bin / 1000,
                    high * hertz_per_bin / 1000,
                ),
            )
            axes.set_title(HEADINGS[name], fontsize='small')
            axes.set_xlabel('time (s)', fontsize='small')
            axes.tick_params(labelsize='small')
        all_axes[0].set_ylabel('frequency (kHz)', fontsize='small')
    bar = side.colorbar(image, cax=side.subplots())
    bar.set_label('dB below the loudest mixture')
    return figure
