"""Visible part of a clip: clutter, objects, their movement and occlusion.

Nothing here knows which object sounds. A world is drawn before its sound,
from a random generator of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .looks import (
    TEXTURES,
    Paint,
    Pose,
    Silhouette,
    class_silhouette,
    color_silhouette,
    draw_silhouette,
)
from .presets import Preset

# Lengths are shares of the image side, speeds shares per frame.
RADIUS = (0.125, 0.19)
MARGIN = 0.15
SPEED = (0.02, 0.07)
MIN_VISIBLE_SHARE = 0.35
OBJECT_SATURATION = (0.65, 0.95)
CLUTTER_SATURATION = (0.0, 0.3)
SENSOR_NOISE = 0.012


@dataclass(frozen=True)
class SceneObject:
    """An object of a world.

    Args:
        class_id (int): Class, 1 to K.
        paint (Paint): Colors of the object.
        poses (tuple[Pose, ...]): Pose of the object in each frame.
    """

    class_id: int
    paint: Paint
    poses: tuple[Pose, ...]


@dataclass(frozen=True)
class World:
    """A world and its pictures.

    Args:
        objects (tuple[SceneObject, ...]): Objects, the farthest first.
        frames (np.ndarray): RGB frames, uint8, shape (T, H, W, 3).
        visible (np.ndarray): Class of the nearest object at each pixel, 0
            where there is none, uint8, shape (T, H, W).
        owners (np.ndarray): Index of that object, -1 where there is none,
            int8, shape (T, H, W).
    """

    objects: tuple[SceneObject, ...]
    frames: np.ndarray
    visible: np.ndarray
    owners: np.ndarray

    @property
    def classes(self) -> tuple[int, ...]:
        """tuple[int, ...]: Class ids in view, ascending."""
        return tuple(sorted(o.class_id for o in self.objects))


def draw_world(
    preset: Preset,
    num_objects: int,
    num_frames: int,
    size: int,
    rng: np.random.Generator,
    class_ids: Sequence[int] | None = None,
) -> World:
    """Draw a world.

    Args:
        preset (Preset): The classes.
        num_objects (int): Number of objects, each of another class.
        num_frames (int): Number of frames T, one per second.
        size (int): Height and width, pixels.
        rng (np.random.Generator): Source of randomness.
        class_ids (Sequence[int], optional): Classes of the objects, the
            farthest first, where they are not to be drawn. A class may stand
            there several times.

    Returns:
        World: Objects and frames; in every frame, at least a third of every
        object is in view.
    """
    if class_ids is None:
        class_ids = 1 + rng.permutation(len(preset.classes))[:num_objects]
    looks = [preset.classes[c - 1].look for c in class_ids]
    paints = [
        Paint.draw(look.hue, look.hue_jitter, OBJECT_SATURATION, rng)
        for look in looks
    ]
    shrink = 1.0
    while True:
        paths = [_draw_path(num_frames, size, shrink, rng) for _ in class_ids]
        silhouettes = [
            [class_silhouette(look, pose) for pose in path]
            for look, path in zip(looks, paths, strict=True)
        ]
        owners = np.stack(
            [_nearest(frame, size) for frame in zip(*silhouettes, strict=True)]
        )
        if _all_in_view(owners, silhouettes):
            break
        # Smaller objects hide each other less, so this ends.
        shrink *= 0.98
    frames = _draw_background(num_frames, size, rng)
    for t, frame in enumerate(frames):
        for look, paint, path, shapes in zip(
            looks, paints, paths, silhouettes, strict=True
        ):
            _paint(frame, shapes[t], look.texture, paint, path[t])
    frames += rng.normal(0, SENSOR_NOISE, frames.shape).astype(np.float32)
    visible = np.append(class_ids, 0)[owners].astype(np.uint8)
    return World(
        objects=tuple(
            SceneObject(int(c), paint, path)
            for c, paint, path in zip(class_ids, paints, paths, strict=True)
        ),
        frames=np.round(np.clip(frames, 0, 1) * 255).astype(np.uint8),
        visible=visible,
        owners=owners.astype(np.int8),
    )


def _draw_path(
    num_frames: int, size: int, shrink: float, rng: np.random.Generator
) -> tuple[Pose, ...]:
    """Draw a smooth path: steady flight, turned back at the margins."""
    t = np.arange(num_frames)
    heading = rng.uniform(0, 2 * np.pi) + rng.uniform(-0.15, 0.15) * t
    steps = rng.uniform(*SPEED) * np.stack(
        [np.cos(heading), np.sin(heading)], axis=1
    )
    room = 1 - 2 * MARGIN
    traveled = rng.uniform(0, room, 2) + np.cumsum(steps, axis=0)
    # Fold the line into [0, room]: 0 -> room -> 0 -> ...
    folded = room - np.abs(traveled % (2 * room) - room)
    centers = (MARGIN + folded) * size
    swell = 1 + 0.1 * np.sin(
        rng.uniform(0.2, 0.6) * t + rng.uniform(0, 2 * np.pi)
    )
    radii = rng.uniform(*RADIUS) * shrink * swell * size
    angles = np.radians(rng.uniform(-25, 25) + rng.uniform(-4, 4) * t)
    return tuple(
        Pose(float(x), float(y), float(radius), float(angle))
        for (x, y), radius, angle in zip(centers, radii, angles, strict=True)
    )


def _nearest(silhouettes: tuple[Silhouette, ...], size: int) -> np.ndarray:
    """Index of the nearest object by pixel, -1 for none, shape (H, W)."""
    owner = np.full((size, size), -1)
    for index, silhouette in enumerate(silhouettes):
        image, own = silhouette.clip(size)
        owner[image][silhouette.alpha[own] >= 0.5] = index
    return owner


def _all_in_view(owners: np.ndarray, silhouettes: list) -> bool:
    """Check that no object is hidden too far in any frame."""
    return all(
        np.count_nonzero(owner == index)
        >= MIN_VISIBLE_SHARE * np.count_nonzero(silhouette.alpha >= 0.5)
        for index, shapes in enumerate(silhouettes)
        for owner, silhouette in zip(owners, shapes, strict=True)
    )


def _paint(
    frame: np.ndarray,
    silhouette: Silhouette,
    texture: str,
    paint: Paint,
    pose: Pose,
) -> None:
    """Draw an object into a frame, float32 RGB of shape (H, W, 3)."""
    image, own = silhouette.clip(frame.shape[0])
    color = color_silhouette(silhouette, texture, paint, pose)[own]
    alpha = silhouette.alpha[own][..., None]
    frame[image] += alpha * (color - frame[image])


def _draw_background(
    num_frames: int, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw textured clutter that a camera pans over.

    Returns:
        np.ndarray: RGB in [0, 1], float32, shape (T, H, W, 3).
    """
    side = int(1.25 * size)
    color = rng.uniform(0.35, 0.6) + rng.uniform(-0.08, 0.08, 3)
    canvas = np.full((side, side, 3), color, np.float32)
    for cells, level in ((3, 0.12), (8, 0.08), (24, 0.06), (side // 2, 0.05)):
        gray = rng.normal(0, level, (cells, cells, 1))
        tint = rng.normal(0, level / 3, (cells, cells, 3))
        canvas += cv2.resize(
            np.float32(gray + tint),
            (side, side),
            interpolation=cv2.INTER_CUBIC,
        )
    for _ in range(rng.integers(4, 9)):
        _paint_clutter(canvas, size, rng)
    heading, speed = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.02)
    # The window swings around the middle and never leaves the canvas.
    swing = np.sin(speed * 2 * np.pi * np.arange(num_frames))
    offset = 0.5 + 0.5 * swing[:, None] * [np.cos(heading), np.sin(heading)]
    corners = np.round(offset * (side - size)).astype(int)
    return np.stack([canvas[y : y + size, x : x + size] for x, y in corners])


def _paint_clutter(
    canvas: np.ndarray, size: int, rng: np.random.Generator
) -> None:
    """Draw a blob of no class: any outline, any texture, dull colors."""
    side = canvas.shape[0]
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    waves = np.arange(2, 6)[:, None]
    bumps = rng.uniform(0, 0.12, (4, 1)) * np.cos(
        waves * angle + rng.uniform(0, 2 * np.pi, (4, 1))
    )
    radius = 1 + bumps.sum(axis=0)
    outline = np.stack(
        [radius * np.cos(angle), radius * np.sin(angle)], axis=1
    )
    pose = Pose(
        float(rng.uniform(0, side)),
        float(rng.uniform(0, side)),
        float(rng.uniform(0.06, 0.16) * size),
        float(rng.uniform(0, 2 * np.pi)),
    )
    paint = Paint.draw(rng.uniform(0, 360), 0.0, CLUTTER_SATURATION, rng)
    silhouette = draw_silhouette(((outline, True),), 0.9, pose)
    texture = sorted(TEXTURES)[rng.integers(len(TEXTURES))]
    _paint(canvas, silhouette, texture, paint, pose)
