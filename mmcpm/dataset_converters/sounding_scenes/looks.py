"""Looks of the classes of a sounding scene: shape, texture and color.

A look only says how an object of a class is drawn. Whether the object sounds
is decided elsewhere and never reaches this file.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

SUPERSAMPLING = 3


@dataclass(frozen=True)
class Look:
    """Look of a class.

    Args:
        shape (str): Key of :data:`SHAPES`.
        texture (str): Key of :data:`TEXTURES`.
        hue (float): Center of the color family, degrees in [0, 360).
        hue_jitter (float): Half width of the color family, degrees.
    """

    shape: str
    texture: str
    hue: float
    hue_jitter: float = 8.0


@dataclass(frozen=True)
class Paint:
    """Color and texture of one object, the same in all frames of a clip.

    Args:
        hue (float): Degrees in [0, 360).
        saturation (float): Saturation in [0, 1].
        value (float): Brightness of the light parts, in [0, 1].
        contrast (float): Share of the brightness that dark parts lose.
        frequency (float): Texture periods per object radius.
        phase (float): Shift of the texture, radians.
    """

    hue: float
    saturation: float
    value: float
    contrast: float
    frequency: float
    phase: float

    @classmethod
    def draw(
        cls,
        hue: float,
        hue_jitter: float,
        saturation: tuple,
        rng: np.random.Generator,
    ) -> 'Paint':
        """Draw a paint of the color family ``hue`` +- ``hue_jitter``."""
        return cls(
            hue=float((hue + rng.uniform(-hue_jitter, hue_jitter)) % 360),
            saturation=float(rng.uniform(*saturation)),
            value=float(rng.uniform(0.8, 1.0)),
            contrast=float(rng.uniform(0.4, 0.55)),
            frequency=float(rng.uniform(1.1, 1.5)),
            phase=float(rng.uniform(0, 2 * np.pi)),
        )


@dataclass(frozen=True)
class Pose:
    """Where an object is in one frame.

    Args:
        x (float): Center, pixels from the left.
        y (float): Center, pixels from the top.
        radius (float): Radius of the disc of the same area, pixels.
        angle (float): Rotation, radians.
    """

    x: float
    y: float
    radius: float
    angle: float

    def rotation(self) -> np.ndarray:
        """Rotation from object to image axes, shape (2, 2)."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return np.array([[cos, -sin], [sin, cos]])


def _ellipse(x: float, y: float, a: float, b: float) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.stack([x + a * np.cos(angle), y + b * np.sin(angle)], axis=1)


def _mirrored(*right: tuple) -> np.ndarray:
    """Close a right half outline (top to bottom) with its mirror image."""
    right = np.array(right, dtype=float)
    return np.concatenate([right, right[::-1] * [-1, 1]])


def _gear(teeth: int) -> np.ndarray:
    steps = np.arange(4 * teeth)
    radius = np.where(steps % 4 < 2, 1.0, 0.72)
    angle = 2 * np.pi * (steps + 0.5) / (4 * teeth)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _blades(count: int) -> tuple:
    """Ellipses around a hub, the first one upwards."""
    blade = _ellipse(0, -0.6, 0.3, 0.45)
    angles = 2 * np.pi * np.arange(count) / count
    return tuple(
        (blade @ Pose(0, 0, 1, float(angle)).rotation().T, True)
        for angle in angles
    )


# Outlines as (polygon, filled) pairs, drawn in order: a pair that is not
# filled cuts a hole. Coordinates are x to the right, y down, about [-1, 1].
SHAPES = {
    'bell': (
        (
            _mirrored(
                (0.0, -1.0), (0.3, -0.9), (0.5, -0.6), (0.55, -0.1),
                (0.68, 0.3), (0.95, 0.6), (0.95, 0.72),
            ),
            True,
        ),
        (_ellipse(0, 0.8, 0.24, 0.22), True),
    ),
    'barrel': (
        (_ellipse(0, -0.5, 0.8, 0.28), True),
        (_mirrored((0.8, -0.5), (0.8, 0.5)), True),
        (_ellipse(0, 0.5, 0.8, 0.28), True),
    ),
    'horn': (
        (
            np.array(
                [
                    (-1.0, -0.3), (-0.45, -0.3), (0.8, -0.95), (0.8, 0.95),
                    (-0.45, 0.3), (-1.0, 0.3),
                ],
            ),
            True,
        ),
    ),
    'insect': tuple(
        (
            np.array(
                [
                    (x - 0.09, 0.0),
                    (x + 0.09, 0.0),
                    (x + lean + 0.09, side),
                    (x + lean - 0.09, side),
                ]
            ),
            True,
        )
        for side in (-0.8, 0.8)
        for x, lean in ((-0.4, -0.25), (0.0, 0.0), (0.4, 0.25))
    )
    + (
        (_ellipse(-0.1, 0, 0.75, 0.4), True),
        (_ellipse(0.72, 0, 0.3, 0.3), True),
    ),
    'kettle': (
        (_ellipse(-0.05, -0.4, 0.5, 0.52), True),
        (_ellipse(-0.05, -0.42, 0.31, 0.33), False),
        (
            np.array([(0.3, 0.45), (0.3, 0.0), (0.85, -0.55), (1.1, -0.45)]),
            True,
        ),
        (_mirrored((0.4, -0.2), (0.68, 0.4), (0.68, 0.75)), True),
    ),
    'gear': ((_gear(8), True), (_ellipse(0, 0, 0.28, 0.28), False)),
    'drop': (
        (_ellipse(0, 0.3, 0.68, 0.68), True),
        (_mirrored((0.0, -1.1), (0.62, 0.05)), True),
    ),
    'bird': (
        (
            _mirrored(
                (0.0, -0.45), (0.16, -0.3), (0.18, -0.1), (0.6, -0.55),
                (1.15, -0.5), (0.75, 0.0), (0.2, 0.4), (0.38, 0.9),
                (0.0, 0.75),
            ),
            True,
        ),
    ),
    'clock': (
        (_ellipse(0, 0, 0.9, 0.9), True), (_ellipse(0, 0, 0.62, 0.62), False),
        (_mirrored((0.1, -0.7), (0.1, 0.1)), True),
        (np.array([(0, -0.1), (0.7, -0.1), (0.7, 0.1), (0, 0.1)]), True),
    ),
    'fan': (*_blades(3), (_ellipse(0, 0, 0.25, 0.25), True)),
    'violin': (
        (_mirrored((0.1, -1.15), (0.1, 0.0)), True),
        (_ellipse(0, -0.1, 0.42, 0.36), True),
        (_ellipse(0, 0.52, 0.56, 0.46), True),
    ),
    'frog': (
        (_ellipse(0, 0.15, 0.78, 0.5), True),
        (_ellipse(-0.42, -0.42, 0.24, 0.24), True),
        (_ellipse(0.42, -0.42, 0.24, 0.24), True),
        (_ellipse(-0.72, 0.68, 0.36, 0.16), True),
        (_ellipse(0.72, 0.68, 0.36, 0.16), True),
    ),
}  # fmt: skip

# Brightness in [0, 1] from object coordinates (u, v), frequency f and phase.
TEXTURES: dict[str, Callable] = {
    'plain': lambda u, v, f, p: np.clip(0.75 - 0.35 * (u + v), 0, 1),
    'bands': lambda u, v, f, p: np.sin(2 * np.pi * f * v + p) > 0,
    'staves': lambda u, v, f, p: np.sin(2 * np.pi * f * u + p) > 0,
    'slants': lambda u, v, f, p: (
        np.sin(2 * np.pi * f * (u + v) / np.sqrt(2) + p) > 0
    ),
    'checks': lambda u, v, f, p: (
        (np.sin(np.pi * f * u * 1.6 + p) * np.sin(np.pi * f * v * 1.6 + p)) > 0
    ),
    'dots': lambda u, v, f, p: (
        (np.sin(2 * np.pi * f * u + p) + np.sin(2 * np.pi * f * v + p)) < 0.55
    ),
    'rings': lambda u, v, f, p: np.sin(2 * np.pi * f * np.hypot(u, v) + p) > 0,
    'waves': lambda u, v, f, p: (
        np.sin(2 * np.pi * f * (v + 0.16 * np.sin(5 * u)) + p) > 0
    ),
}


def _unit_area_scale(shape: str) -> float:
    """Scale that gives a shape the area of the unit disc.

    Without it, a class of thin objects would be smaller than the others and
    every score would depend on it less.
    """
    canvas = np.zeros((512, 512), np.uint8)
    for polygon, filled in SHAPES[shape]:
        corners = np.round(polygon * 200 + 256).astype(np.int32)
        cv2.fillPoly(canvas, [corners], int(filled))
    return float(np.sqrt(np.pi * 200**2 / canvas.sum()))


_SCALES = {shape: _unit_area_scale(shape) for shape in SHAPES}


@dataclass(frozen=True)
class Silhouette:
    """Coverage of the pixels around an object.

    Args:
        alpha (np.ndarray): Coverage in [0, 1], float32, shape (h, w).
        edge (np.ndarray): Coverage of the outline, float32, shape (h, w).
        left (int): Column of the first pixel; may lie outside the image.
        top (int): Row of the first pixel; may lie outside the image.
    """

    alpha: np.ndarray
    edge: np.ndarray
    left: int
    top: int

    def clip(self, size: int) -> tuple[tuple, tuple]:
        """Index the part that lies in an image of ``size`` x ``size``.

        Returns:
            tuple[tuple, tuple]: Slices (rows, columns) of the image and of
            the silhouette.
        """
        image, own = [], []
        for first, length in zip(
            (self.top, self.left), self.alpha.shape, strict=True
        ):
            start, stop = max(first, 0), min(first + length, size)
            image.append(slice(start, max(start, stop)))
            own.append(slice(start - first, max(start, stop) - first))
        return tuple(image), tuple(own)


def draw_silhouette(outline: tuple, scale: float, pose: Pose) -> Silhouette:
    """Draw an outline with smooth edges.

    Args:
        outline (tuple): Pairs (polygon of shape (P, 2), filled).
        scale (float): Factor from outline units to radii.
        pose (Pose): Position, size and angle in the frame.

    Returns:
        Silhouette: Coverage of a square around the pose.
    """
    reach = int(np.ceil(pose.radius * scale * 1.35)) + 2
    left, top = int(np.floor(pose.x)) - reach, int(np.floor(pose.y)) - reach
    side = 2 * reach * SUPERSAMPLING
    canvas = np.zeros((side, side), np.uint8)
    origin = np.array([pose.x - left, pose.y - top])
    turn = pose.rotation().T * scale * pose.radius
    for polygon, filled in outline:
        corners = (polygon @ turn + origin) * SUPERSAMPLING - 0.5
        cv2.fillPoly(
            canvas, [np.round(corners).astype(np.int32)], 255 if filled else 0
        )
    width = 2 * max(1, round(0.05 * pose.radius * SUPERSAMPLING)) + 1
    inner = cv2.erode(canvas, np.ones((width, width), np.uint8))
    alpha, edge = (
        cv2.resize(
            coverage, (2 * reach, 2 * reach), interpolation=cv2.INTER_AREA
        ).astype(np.float32)
        / 255
        for coverage in (canvas, canvas - inner)
    )
    return Silhouette(alpha, edge, left, top)


def class_silhouette(look: Look, pose: Pose) -> Silhouette:
    """Draw the outline of a class, with the area of its pose's disc."""
    return draw_silhouette(SHAPES[look.shape], _SCALES[look.shape], pose)


def color_silhouette(
    silhouette: Silhouette, texture: str, paint: Paint, pose: Pose
) -> np.ndarray:
    """Color the pixels around an object.

    Args:
        silhouette (Silhouette): Outline that :func:`draw_silhouette` returned.
        texture (str): Key of :data:`TEXTURES`.
        paint (Paint): Colors of the object.
        pose (Pose): The pose of the silhouette; the texture turns with it.

    Returns:
        np.ndarray: RGB in [0, 1], float32, shape (h, w, 3).
    """
    height, width = silhouette.alpha.shape
    x = silhouette.left + np.arange(width) + 0.5 - pose.x
    y = silhouette.top + np.arange(height) + 0.5 - pose.y
    (a, b), (c, d) = pose.rotation().T / pose.radius
    u = a * x[None] + b * y[:, None]
    v = c * x[None] + d * y[:, None]
    light = TEXTURES[texture](u, v, paint.frequency, paint.phase)
    # A texture's own edges stay soft, as a lens would leave them.
    light = cv2.GaussianBlur(np.float32(light), (3, 3), 0)
    value = paint.value * (1 - paint.contrast * (1 - light))
    value *= 1 - 0.65 * silhouette.edge
    return value[..., None] * hue_to_rgb(paint.hue, paint.saturation)


def hue_to_rgb(hue: float, saturation: float) -> np.ndarray:
    """Color of full brightness, RGB in [0, 1], float32, shape (3,)."""
    distance = (np.array([5, 3, 1]) + hue / 60) % 6
    ramp = np.clip(np.minimum(distance, 4 - distance), 0, 1)
    return np.float32(1 - saturation * ramp)
