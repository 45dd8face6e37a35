"""Frames of a video with what sounds painted over them."""

import numpy as np
import pytest

from mmcpm.visualization.drawing import label_values
from mmcpm.visualization.video_overlay import VideoOverlay

CLASSES = ('background', 'dog', 'cat')
PALETTE = [(0, 0, 0), (255, 0, 0), (0, 0, 255)]


def make(size, **kwargs):
    return VideoOverlay(CLASSES, PALETTE, size, **kwargs)


def test_pixels_of_a_class_get_its_color():
    overlay = make((400, 300), alpha=0.5, legend=False)
    image = np.full((300, 400, 3), (10, 200, 30), np.uint8)  # BGR
    labels = np.zeros((300, 400), np.uint8)
    labels[100:200, 100:200] = 1
    picture = overlay.draw(image, labels)
    assert picture.shape == (300, 400, 3)
    # Luma of the frame: 0.299 30 + 0.587 200 + 0.114 10 = 127.5.
    inside = picture[150, 150].astype(int)
    assert np.abs(inside - (64, 64, 191)).max() <= 1
    np.testing.assert_array_equal(picture[50, 50], (10, 200, 30))
    np.testing.assert_array_equal(overlay.draw(image, 0 * labels), image)


def test_small_frames_and_masks_of_another_size_are_enlarged():
    overlay = make((100, 50), legend=False)
    assert overlay.size == (400, 200)
    labels = np.zeros((5, 10), np.uint8)
    labels[:, 5:] = 2
    picture = overlay.draw(np.zeros((50, 100, 3), np.uint8), labels)
    assert picture.shape == (200, 400, 3)
    assert (picture[20:180, 210:390, 0] > 100).all()
    assert not picture[:, :190].any()


@pytest.mark.parametrize('size', [(96, 96), (33, 21), (1280, 720), (320, 2)])
def test_strip_has_one_height(size):
    overlay = make(size)
    image = np.zeros((size[1], size[0], 3), np.uint8)
    strips = []
    for value in (0, 1, 2):
        labels = np.full(size[::-1], value, np.uint8)
        picture = overlay.draw(image, labels)
        assert picture.shape[1::-1] == overlay.size
        scale = overlay.size[0] // size[0]
        strips.append(picture[size[1] * scale :])
    assert not np.array_equal(strips[0], strips[1])
    # The square before the name has the color of the class.
    assert (strips[1] == (0, 0, 255)).all(-1).any()
    assert (strips[2] == (255, 0, 0)).all(-1).any()


@pytest.mark.parametrize('dtype', [np.uint8, np.int32, np.uint16])
def test_label_values(dtype):
    labels = np.array([[7, 0, 7], [255, 3, 0]], dtype)
    assert label_values(labels) == [0, 3, 7, 255]
