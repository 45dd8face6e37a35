"""Pieces of a picture of a scored frame, and the colors of its classes."""

import functools
from collections.abc import Sequence
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import torch
from matplotlib.patches import Patch
from PIL import Image, ImageDraw, ImageFont

from mmcpm.models.audio_frontends.stft import stft_magnitude

IGNORED = 255
PAPER = (255, 255, 255)
INK = (30, 30, 30)
# Background and "no object" have no color of their own in the palettes: RGB
# in 0..1.
BACKGROUND = (0.5, 0.5, 0.5)
NO_OBJECT = (0.8, 0.8, 0.8)
# Decibels between the darkest and the brightest color of a spectrogram, and
# how loud (magnitude, decibels) a second has to be for the brightest one: so
# that faint noise does not look like an event.
DYNAMIC_RANGE = 70.0
QUIETEST_PEAK = 0.0


def label_values(labels: np.ndarray) -> list[int]:
    """List the values of a label map.

    Args:
        labels (np.ndarray): Class of each pixel, integers, shape (H, W).

    Returns:
        list[int]: Ascending.
    """
    if labels.dtype == np.uint8:
        # A histogram is some forty times faster than sorting the pixels.
        counts = cv2.calcHist([labels], [0], None, [256], [0, 256])
        return np.flatnonzero(counts.ravel()).tolist()
    return np.unique(labels).tolist()


def overlay_classes(
    image: np.ndarray,
    labels: np.ndarray,
    palette: Sequence[Sequence[int]],
    alpha: float,
) -> np.ndarray:
    """Paint the foreground classes over an image.

    The background (class 0) is left as it is; ignored pixels are hatched.
    Painted pixels lose their own color, so that the hue is the palette's.

    Args:
        image (np.ndarray): RGB, uint8, shape (H, W, 3).
        labels (np.ndarray): Class of each pixel, integers, shape (H, W).
        palette (Sequence[Sequence[int]]): RGB color of each class.
        alpha (float): Opacity of the paint, 0 to 1.

    Returns:
        np.ndarray: RGB, uint8, shape (H, W, 3).
    """
    painted = image.copy()
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    thickness = 1 if image.shape[1] < 500 else 3  # Half of 3 is inside.
    for label in label_values(labels):
        region = labels == label
        if label == IGNORED:
            rows, columns = np.indices(labels.shape)
            hatch = region & ((rows + columns) % 10 < 2)
            painted[hatch] = 160
        elif label != 0:
            paint = alpha * np.asarray(palette[label], np.float32)
            shades = (1 - alpha) * np.arange(256)[:, None] + paint
            painted[region] = shades.astype(np.uint8)[gray[region]]
            # Dark colors of the palette vanish on dark frames without it.
            edges, _ = cv2.findContours(
                region.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
            )
            outline = np.zeros(labels.shape, np.uint8)
            cv2.drawContours(outline, edges, -1, 1, thickness)
            painted[region & (outline == 1)] = PAPER
    return painted


def spectrogram_strip(
    audio: np.ndarray | torch.Tensor, sample_rate: int, width: int, height: int
) -> np.ndarray:
    """Draw the log magnitude of one channel, time to the right, pitch up.

    Args:
        audio (np.ndarray | torch.Tensor): Samples, float, shape (S,).
        sample_rate (int): Sample rate, Hz.
        width (int): Width of the strip, in pixels.
        height (int): Height of the strip, in pixels.

    Returns:
        np.ndarray: RGB, uint8, shape (height, width, 3).
    """
    samples = torch.as_tensor(audio, dtype=torch.float32).cpu()
    # 25 ms windows every 10 ms, as the model has them at 16 kHz.
    win_length = round(0.025 * sample_rate)
    n_fft = 2 ** (win_length - 1).bit_length()
    shortage = n_fft // 2 + 1 - len(samples)
    samples = torch.nn.functional.pad(samples, (0, max(0, shortage)))
    magnitude = stft_magnitude(
        samples,
        n_fft,
        torch.hann_window(win_length),
        round(0.01 * sample_rate),
    ).numpy()
    decibels = 20 * np.log10(magnitude + 1e-6)
    peak = max(decibels.max(), QUIETEST_PEAK)
    level = np.clip((decibels - peak) / DYNAMIC_RANGE + 1, 0, 1)
    strip = cv2.resize(
        (255 * level.T[::-1]).astype(np.uint8),
        (width, height),
        interpolation=cv2.INTER_LINEAR,
    )
    colors = cv2.applyColorMap(strip, cv2.COLORMAP_MAGMA)
    return np.ascontiguousarray(colors[..., ::-1])


def text_block(
    entries: Sequence[tuple[str, Sequence[int] | None]], width: int, size: int
) -> np.ndarray:
    """Set words in lines, each after a square of its color if it has one.

    Args:
        entries (Sequence[tuple]): Pieces of text that are not broken, each
            with its RGB color or None.
        width (int): Width of the block, in pixels.
        size (int): Size of the font, in pixels.

    Returns:
        np.ndarray: RGB, uint8, shape (height, width, 3).
    """
    face = font(size)
    gap, line_height = size // 2, size * 8 // 5
    placed, x, y = [], 0, size // 4
    for text, color in entries:
        square = 0 if color is None else size + gap
        length = square + int(face.getlength(text))
        if x and x + length > width:
            x, y = 0, y + line_height
        placed.append((x, y, text, color))
        x += length + size
    canvas = Image.new('RGB', (width, y + line_height + size // 4), PAPER)
    draw = ImageDraw.Draw(canvas)
    for x, y, text, color in placed:
        if color is not None:
            draw.rectangle(
                (x, y + size // 4, x + size, y + size * 5 // 4),
                tuple(int(c) for c in color),
                INK,
            )
            x += size + gap
        draw.text((x, y + line_height // 2), text, INK, face, anchor='lm')
    return np.asarray(canvas)


@functools.lru_cache(maxsize=8)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Load a font; matplotlib brings one along on every platform."""
    folder = Path(matplotlib.get_data_path(), 'fonts', 'ttf')
    return ImageFont.truetype(str(folder / 'DejaVuSans.ttf'), size)


def class_colors(palette: Sequence[Sequence[int]]) -> np.ndarray:
    """Color the classes as figures show them.

    Args:
        palette (Sequence[Sequence[int]]): RGB colors of the dataset's C
            classes, 0 to 255, background first.

    Returns:
        np.ndarray: RGB in 0..1, ``[C + 1, 3]``: background and, last, "no
        object" are gray.
    """
    colors = np.asarray([*palette, (0, 0, 0)], float) / 255
    colors[0], colors[-1] = BACKGROUND, NO_OBJECT
    return colors


def class_patches(
    shown: Sequence[int],
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
) -> list[Patch]:
    """Make the entries of a legend.

    Args:
        shown (Sequence[int]): Class ids, C for "no object".
        classes (Sequence[str]): Names of the dataset's C classes.
        palette (Sequence[Sequence[int]]): RGB colors of the classes, 0 to 255.
    """
    colors = class_colors(palette)
    names = [*classes, 'no object']
    return [
        Patch(facecolor=colors[k], edgecolor='black', label=names[k])
        for k in shown
    ]
