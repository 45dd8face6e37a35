import colorsys
from itertools import combinations

import numpy as np
import pytest

from mmcpm.dataset_converters.sounding_scenes.looks import (
    SHAPES,
    TEXTURES,
    Look,
    Paint,
    Pose,
    class_silhouette,
    color_silhouette,
    draw_silhouette,
    hue_to_rgb,
)

SQUARE = ((np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]), True),)


@pytest.mark.parametrize('shape', SHAPES)
def test_every_shape_has_the_area_of_its_disc(shape):
    pose = Pose(x=60, y=60, radius=20, angle=0.7)
    silhouette = class_silhouette(Look(shape, 'plain', 0), pose)
    assert silhouette.alpha.sum() == pytest.approx(np.pi * 20**2, rel=0.04)
    # Nothing is cut off at the border of the patch.
    inside = silhouette.alpha[1:-1, 1:-1].sum()
    assert inside == pytest.approx(silhouette.alpha.sum())


def test_shapes_differ_from_each_other():
    pose = Pose(x=60, y=60, radius=20, angle=0.0)
    masks = {}
    for shape in SHAPES:
        silhouette = class_silhouette(Look(shape, 'plain', 0), pose)
        mask = np.zeros((120, 120), bool)
        image, own = silhouette.clip(120)
        mask[image] = silhouette.alpha[own] >= 0.5
        masks[shape] = mask
    for one, other in combinations(masks.values(), 2):
        assert (one & other).sum() / (one | other).sum() < 0.85


def test_silhouette_lies_where_its_pose_says():
    pose = Pose(x=30.0, y=20.0, radius=10.0, angle=0.0)
    silhouette = draw_silhouette(SQUARE, 0.8, pose)
    rows, columns = np.nonzero(silhouette.alpha >= 0.5)
    # A square from 22 to 38 (x) and from 12 to 28 (y).
    assert columns.min() + silhouette.left == pytest.approx(22, abs=1)
    assert columns.max() + silhouette.left == pytest.approx(37, abs=1)
    assert rows.min() + silhouette.top == pytest.approx(12, abs=1)
    assert rows.max() + silhouette.top == pytest.approx(27, abs=1)


def test_rotation_turns_x_towards_y():
    bar = ((np.array([(0, -0.1), (1, -0.1), (1, 0.1), (0, 0.1)]), True),)
    pose = Pose(x=0.0, y=0.0, radius=20.0, angle=np.pi / 2)
    silhouette = draw_silhouette(bar, 1.0, pose)
    rows, columns = np.nonzero(silhouette.alpha >= 0.5)
    assert rows.mean() + silhouette.top == pytest.approx(10, abs=1)
    assert columns.mean() + silhouette.left == pytest.approx(0, abs=1)


@pytest.mark.parametrize(
    ('x', 'y', 'share'),
    [(25, 25, 1), (0, 25, 0.5), (50, 50, 0.25), (90, 25, 0)],
)
def test_clip_keeps_the_part_inside_the_image(x, y, share):
    silhouette = draw_silhouette(SQUARE, 0.8, Pose(x, y, 10.0, 0.0))
    image, own = silhouette.clip(50)
    assert np.zeros((50, 50))[image].shape == silhouette.alpha[own].shape
    kept = silhouette.alpha[own].sum() / silhouette.alpha.sum()
    assert kept == pytest.approx(share, abs=0.06)


@pytest.mark.parametrize('hue', range(0, 360, 37))
@pytest.mark.parametrize('saturation', [0.0, 0.4, 1.0])
def test_hue_to_rgb_agrees_with_the_standard_library(hue, saturation):
    expected = colorsys.hsv_to_rgb(hue / 360, saturation, 1.0)
    assert hue_to_rgb(hue, saturation) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize('texture', TEXTURES)
def test_textures_show_light_and_dark_parts_of_one_hue(texture):
    pose = Pose(x=30, y=30, radius=20, angle=0.3)
    paint = Paint(200, 0.8, 1.0, 0.5, 1.3, 0.4)
    silhouette = class_silhouette(Look('drop', texture, 200), pose)
    color = color_silhouette(silhouette, texture, paint, pose)
    assert color.min() >= 0 and color.max() <= 1
    body = color[(silhouette.alpha == 1) & (silhouette.edge == 0)]
    brightness = body.max(axis=1)
    assert brightness.max() > 0.9
    assert brightness.min() < 0.65
    hues = [colorsys.rgb_to_hsv(*pixel)[0] * 360 for pixel in body[::50]]
    assert hues == pytest.approx([200] * len(hues), abs=0.5)


def test_paint_stays_in_its_color_family():
    rng = np.random.default_rng(0)
    hues = [Paint.draw(2, 8, (0.65, 0.95), rng).hue for _ in range(200)]
    assert all(hue <= 10 or hue >= 354 for hue in hues)
    assert min(hues) < 4 and max(hues) > 356
