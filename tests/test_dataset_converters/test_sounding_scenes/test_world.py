import colorsys

import numpy as np
import pytest

from mmcpm.dataset_converters.sounding_scenes.looks import (
    Look,
    Pose,
    class_silhouette,
)
from mmcpm.dataset_converters.sounding_scenes.presets import PRESETS
from mmcpm.dataset_converters.sounding_scenes.world import (
    MARGIN,
    RADIUS,
    SPEED,
    _nearest,
    draw_world,
)

DEMO = PRESETS['demo']
SIZE = 64


@pytest.fixture(scope='module')
def worlds():
    return [
        draw_world(DEMO, 2 + seed % 3, 6, SIZE, np.random.default_rng(seed))
        for seed in range(12)
    ]


def test_frames_and_maps_have_the_promised_form(worlds):
    for world in worlds:
        assert world.frames.shape == (6, SIZE, SIZE, 3)
        assert world.visible.shape == (6, SIZE, SIZE)
        assert world.frames.dtype == world.visible.dtype == np.uint8
        assert len(set(world.classes)) == len(world.objects)


def test_every_object_is_in_view_in_every_frame(worlds):
    for world in worlds:
        for t in range(6):
            assert set(np.unique(world.visible[t])) == {0, *world.classes}
            for scene_object in world.objects:
                look = DEMO.classes[scene_object.class_id - 1].look
                whole = class_silhouette(look, scene_object.poses[t])
                share = np.sum(
                    world.visible[t] == scene_object.class_id
                ) / np.sum(whole.alpha >= 0.5)
                assert 0.35 <= share <= 1


def test_objects_hide_each_other_sometimes(worlds):
    shares = []
    for world in worlds:
        scene_object = world.objects[0]  # the farthest
        look = DEMO.classes[scene_object.class_id - 1].look
        for pose, visible in zip(
            scene_object.poses, world.visible, strict=True
        ):
            whole = class_silhouette(look, pose)
            shares.append(
                np.sum(visible == scene_object.class_id)
                / np.sum(whole.alpha >= 0.5)
            )
    assert min(shares) < 0.8


def test_the_nearer_object_owns_shared_pixels():
    far = class_silhouette(Look('drop', 'plain', 0), Pose(30, 32, 12, 0))
    near = class_silhouette(Look('gear', 'plain', 0), Pose(36, 32, 12, 0))
    owner = _nearest((far, near), SIZE)
    image, own = near.clip(SIZE)
    assert (owner[image][near.alpha[own] >= 0.5] == 1).all()
    assert (owner == 0).sum() < (far.alpha >= 0.5).sum()
    assert owner[0, 0] == -1


def test_objects_move_smoothly_and_stay_in_the_frame(worlds):
    for world in worlds:
        for scene_object in world.objects:
            centers = np.array([(p.x, p.y) for p in scene_object.poses])
            steps = np.hypot(*np.diff(centers, axis=0).T) / SIZE
            assert steps.max() <= SPEED[1] + 1e-9
            assert steps.max() > 0
            assert centers.min() >= MARGIN * SIZE
            assert centers.max() <= (1 - MARGIN) * SIZE
            radii = np.array([p.radius for p in scene_object.poses]) / SIZE
            assert radii.max() <= RADIUS[1] * 1.1
            # Smaller than drawn only to keep everything in view.
            assert radii.min() > RADIUS[0] * 0.9 * 0.6
            assert np.abs(np.diff(radii)).max() < 0.02


def test_maps_lie_on_the_objects_of_their_class(worlds):
    for world in worlds:
        for scene_object in world.objects:
            hue = DEMO.classes[scene_object.class_id - 1].look.hue
            pixels = (
                world.frames[2][world.visible[2] == scene_object.class_id]
                / 255
            )
            found = 360 * np.array(
                [colorsys.rgb_to_hsv(*pixel)[0] for pixel in pixels]
            )
            distance = np.abs((found - hue + 180) % 360 - 180)
            assert np.median(distance) < 12


def test_clutter_has_no_class_color():
    world = draw_world(DEMO, 2, 3, SIZE, np.random.default_rng(50))
    background = world.frames[world.visible == 0] / 255
    saturation = 1 - background.min(axis=1) / background.max(axis=1)
    objects = world.frames[world.visible > 0] / 255
    saturated = 1 - objects.min(axis=1) / objects.max(axis=1)
    assert np.median(saturation) < 0.35 < 0.6 < np.median(saturated)


def test_a_world_depends_on_its_generator_only():
    one, same, other = (
        draw_world(DEMO, 3, 3, SIZE, np.random.default_rng(seed))
        for seed in (7, 7, 8)
    )
    np.testing.assert_array_equal(one.frames, same.frames)
    np.testing.assert_array_equal(one.visible, same.visible)
    assert one.objects == same.objects != other.objects


def test_size_scales_everything():
    small, large = (
        draw_world(DEMO, 2, 1, size, np.random.default_rng(4))
        for size in (64, 128)
    )
    assert small.classes == large.classes
    for one, other in zip(small.objects, large.objects, strict=True):
        assert other.poses[0].x == pytest.approx(2 * one.poses[0].x)
        assert other.poses[0].radius == pytest.approx(2 * one.poses[0].radius)
