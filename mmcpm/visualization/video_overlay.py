"""Frames of a video with the sounding objects painted over them."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from .drawing import PAPER, label_values, overlay_classes, text_block

# Smaller videos are enlarged, so that names can be read.
LEAST_WIDTH = 320
LEGEND_LINES = 2


class VideoOverlay:
    """Paints classes over frames, and names them in a strip below.

    Args:
        classes (Sequence[str]): Names of the classes.
        palette (Sequence[Sequence[int]]): RGB colors of the classes.
        frame_size (tuple[int, int]): Width and height of the frames, pixels.
        alpha (float): Opacity of the colors, 0 to 1. Defaults to 0.6.
        legend (bool): Whether there is a strip. Defaults to True.

    Attributes:
        size (tuple[int, int]): Width and height of the pictures, pixels.
    """

    def __init__(
        self,
        classes: Sequence[str],
        palette: Sequence[Sequence[int]],
        frame_size: tuple[int, int],
        *,
        alpha: float = 0.6,
        legend: bool = True,
    ) -> None:
        self._classes, self._palette, self._alpha = classes, palette, alpha
        width, height = frame_size
        scale = math.ceil(LEAST_WIDTH / width) if width < LEAST_WIDTH else 1
        self._picture_size = width * scale, height * scale
        self._font = int(np.clip(width * scale / 45, 12, 30))
        self._strip_height = LEGEND_LINES * (self._font * 8 // 5) * legend
        self._strips: dict[tuple[int, ...], np.ndarray] = {}
        self.size = width * scale, height * scale + self._strip_height

    def draw(self, image: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Paint a frame.

        Args:
            image (np.ndarray): BGR, uint8, shape (H, W, 3).
            labels (np.ndarray): Class of each pixel, integers, shape (h, w).

        Returns:
            np.ndarray: BGR, uint8, of :attr:`size`.
        """
        if image.shape[1::-1] != self._picture_size:
            image = cv2.resize(
                image, self._picture_size, interpolation=cv2.INTER_CUBIC
            )
        if labels.shape[::-1] != self._picture_size:
            labels = cv2.resize(
                labels, self._picture_size, interpolation=cv2.INTER_NEAREST
            )
        picture = image
        found = tuple(k for k in label_values(labels) if k)
        if found:
            picture = overlay_classes(
                np.ascontiguousarray(image[..., ::-1]),
                labels,
                self._palette,
                self._alpha,
            )[..., ::-1]
        if self._strip_height:
            picture = np.concatenate([picture, self._strip(found)])
        return np.ascontiguousarray(picture)

    def _strip(self, found: tuple[int, ...]) -> np.ndarray:
        """Name classes, BGR; the same strip is drawn once."""
        if found not in self._strips:
            if len(self._strips) > 64:
                self._strips.clear()
            entries = [
                (self._classes[k], self._palette[k]) for k in found
            ] or [('nothing', None)]
            block = text_block(
                [(' sounding:', None), *entries],
                self.size[0],
                self._font,
            )[: self._strip_height]
            missing = self._strip_height - len(block)
            block = np.pad(
                block, ((0, missing), (0, 0), (0, 0)), constant_values=PAPER[0]
            )
            self._strips[found] = block[..., ::-1]
        return self._strips[found]
