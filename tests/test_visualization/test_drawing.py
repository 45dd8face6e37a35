import numpy as np
import pytest

from mmcpm.visualization.drawing import (
    class_colors,
    class_patches,
    overlay_classes,
    spectrogram_strip,
    text_block,
)

PALETTE = [[0, 0, 0], [250, 0, 0], [0, 0, 250]]
FULL_PALETTE = [[0, 0, 0], [255, 0, 0], [0, 51, 255]]


def noise(shape):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, shape).astype(np.uint8)


def test_background_is_untouched():
    image = noise((40, 60, 3))
    labels = np.zeros((40, 60), int)
    labels[10:30, 20:40] = 1
    before = image.copy()
    painted = overlay_classes(image, labels, PALETTE, 0.6)
    assert (painted[labels == 0] == image[labels == 0]).all()
    assert (image == before).all()


@pytest.mark.parametrize('width', [60, 800])
def test_outlines_stay_inside_the_object(width):
    image = noise((40, width, 3))
    labels = np.zeros((40, width), int)
    labels[10:30, 20:40] = 2
    painted = overlay_classes(image, labels, PALETTE, 0.5)
    assert (painted[labels == 0] == image[labels == 0]).all()
    assert (painted[10, 20:40] == 255).all()


def test_paint_mixes_brightness_and_palette():
    image = np.full((40, 60, 3), 100, np.uint8)
    labels = np.ones((40, 60), int)
    # (1 - 0.6) * 100 + 0.6 * (250, 0, 0)
    assert overlay_classes(image, labels, PALETTE, 0.6)[20, 30].tolist() == [
        190,
        40,
        40,
    ]


def test_ignored_pixels_are_hatched():
    image = np.full((40, 60, 3), 10, np.uint8)
    labels = np.full((40, 60), 255)
    changed = (overlay_classes(image, labels, PALETTE, 0.6) != image).any(2)
    assert 0.1 < changed.mean() < 0.3


def sine(frequency, rate=16000):
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(rate) / rate)


@pytest.mark.parametrize('frequency', [1000, 6000])
def test_pitch_goes_up(frequency):
    strip = spectrogram_strip(sine(frequency), 16000, 300, 160)
    assert strip.shape == (160, 300, 3) and strip.dtype == np.uint8
    row = strip.astype(int).sum((1, 2)).argmax()
    # 0 Hz at the bottom, 8000 Hz at the top.
    assert abs(row - (1 - frequency / 8000) * 160) <= 2


def test_time_goes_right():
    audio = sine(2000)
    audio[:12000] = 0
    brightness = spectrogram_strip(audio, 16000, 400, 100).sum((0, 2))
    assert brightness[:280].max() < brightness[320:].min()


def test_silence_and_faint_noise_are_dark():
    silent = spectrogram_strip(np.zeros(16000), 16000, 300, 100)
    rng = np.random.default_rng(0)
    faint = spectrogram_strip(1e-6 * rng.normal(size=16000), 16000, 300, 100)
    loud = spectrogram_strip(0.1 * rng.normal(size=16000), 16000, 300, 100)
    assert silent.max() < 10
    assert faint.mean() < 20 < 80 < loud.mean()


@pytest.mark.parametrize(
    'samples, rate', [(1, 16000), (100, 16000), (8000, 8000), (48000, 48000)]
)
def test_other_lengths_and_rates(samples, rate):
    strip = spectrogram_strip(np.ones(samples), rate, 300, 100)
    assert strip.shape == (100, 300, 3)


def test_text_has_squares_of_the_colors():
    block = text_block([('dog', (250, 0, 0)), ('none', None)], 400, 18)
    assert block.shape[1] == 400
    red = (block == (250, 0, 0)).all(2)
    # A square as high as the font, less its border.
    assert red.sum() == pytest.approx(18**2, rel=0.25)


def test_long_text_is_broken_into_lines():
    one = text_block([('word', None)], 200, 18)
    many = text_block([('word', None)] * 12, 200, 18)
    assert many.shape[0] > 2 * one.shape[0]
    margin = many[:, -2:]
    assert (margin == 255).all()


def test_background_and_no_object_are_gray():
    colors = class_colors(FULL_PALETTE)
    assert colors.shape == (4, 3)
    assert colors[1:3].tolist() == [[1, 0, 0], [0, 0.2, 1]]
    for gray in colors[[0, 3]]:
        assert 0.2 < gray[0] == gray[1] == gray[2] < 0.9
    assert not np.allclose(colors[0], colors[3])


def test_legend_names_classes_and_no_object():
    patches = class_patches(
        [2, 3], ['background', 'dog', 'bell'], FULL_PALETTE
    )
    assert [patch.get_label() for patch in patches] == ['bell', 'no object']
    assert patches[0].get_facecolor() == (0, 0.2, 1, 1)
