import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from mmcpm.analysis_tools.explain.spectrogram_figure import (
    Recovery,
    decibels,
    draw_spectrograms,
    masked_magnitude,
)

SCALE = {'seconds_per_frame': 0.01, 'hertz_per_bin': 31.25}


def recovery(mixture, target, ratio, title='clip/0: dog'):
    return Recovery(
        title,
        mixture=mixture,
        noise=mixture - target,
        target=target,
        recovered=masked_magnitude(mixture, ratio),
        unexplained=0.25,
    )


@pytest.fixture
def rows():
    """Two mixtures of 4 frames and 6 frequencies."""
    mixture = np.ones((4, 6))
    mixture[2, 5] = 10.0
    louder = 10 * mixture
    return [
        recovery(mixture, 0.1 * mixture, np.full((4, 6), 0.5)),
        recovery(louder, louder, np.ones((4, 6)), 'clip/1: bell'),
    ]


def panels(figure):
    """Axes with a spectrogram, ``[rows, 4]``."""
    axes = [axes for axes in figure.axes if len(axes.images) == 1]
    return [axes[i : i + 4] for i in range(0, len(axes), 4)]


def values(axes):
    return axes.images[0].get_array()


def test_a_ratio_mask_takes_its_share():
    mixture = np.array([[2.0, 4.0], [8.0, 0.0]])
    ratio = np.array([[0.5, 0.25], [1.0, 1.0]])
    assert masked_magnitude(mixture, ratio).tolist() == [[1, 1], [8, 0]]


def test_decibels_by_hand():
    magnitude = np.array([10.0, 1.0, 0.1, 1e-9, 0.0])
    expected = [0, -20, -40, -60, -60]
    assert decibels(magnitude, 10.0) == pytest.approx(expected)


def test_panels_hold_the_parts_on_one_scale(rows):
    """0 dB is the loudest mixture, 100 here."""
    first, second = panels(draw_spectrograms(rows, **SCALE))
    names = [axes.get_title().split()[0].strip(',') for axes in first]
    assert names == ['mixture', 'noise', 'target', 'recovered']
    # Time to the right: column 2; frequency up: row 5.
    mixture, noise, target, recovered = map(values, first)
    assert mixture.shape == (6, 4)
    assert mixture[5, 2] == pytest.approx(-20)
    assert mixture[0, 0] == pytest.approx(-40)
    assert noise[5, 2] == pytest.approx(-20 + 20 * np.log10(0.9))
    assert target[5, 2] == pytest.approx(-40)
    assert recovered[5, 2] == pytest.approx(-20 + 20 * np.log10(0.5))
    assert values(second[0])[5, 2] == pytest.approx(0)
    assert (values(second[1]) == -60).all()
    for axes in (*first, *second):
        assert axes.images[0].get_clim() == (-60, 0)
        assert axes.images[0].origin == 'lower'


def test_axes_are_in_seconds_and_kilohertz(rows):
    figure = draw_spectrograms(rows, **SCALE)
    axes = panels(figure)[0][0]
    left, right, low, high = axes.images[0].get_extent()
    # The center of pixel (2, 5) lies at its time and frequency.
    assert left + 2.5 * (right - left) / 4 == pytest.approx(0.02)
    assert low + 5.5 * (high - low) / 6 == pytest.approx(5 * 0.03125)
    assert axes.get_xlabel() == 'time (s)'
    assert axes.get_ylabel() == 'frequency (kHz)'


def test_rows_tell_frame_and_share(rows):
    body, _ = draw_spectrograms(rows, **SCALE).subfigs
    titles = [strip.get_suptitle() for strip in body.subfigs]
    assert titles[0].startswith('clip/0: dog ') and '25 %' in titles[0]
    assert titles[1].startswith('clip/1: bell ')


def test_silence_is_drawn():
    nothing = np.zeros((4, 6))
    figure = draw_spectrograms([recovery(nothing, nothing, nothing)], **SCALE)
    FigureCanvasAgg(figure).draw()
    assert (values(panels(figure)[0][0]) == -60).all()
