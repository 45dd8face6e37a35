"""What a stored prediction says of each pixel: its class, how probable.

========== =============================== ==================================
kind       file                            meaning
========== =============================== ==================================
labels     PNG of one channel, NumPy       class of each pixel, (H, W)
           integers
labels     PNG of colors                   the palette of the dataset
mask       PNG of one channel              0: silent, 255: sounding; grays are
                                           probabilities (two classes only)
probabil-  NumPy floats (H, W)             probability that a pixel sounds
ities                                      (two classes only)
probabil-  NumPy floats (K, H, W)          probability of each class
ities
scores     NumPy floats (H, W), (K, H, W)  the same before sigmoid or softmax
========== =============================== ==================================
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from mmcpm.datasets.transforms.picture_files import open_picture

KINDS = ('labels', 'mask', 'probabilities', 'scores')
TOLERANCE = 1e-2  # Of sums of probabilities, also of half precision.


class StoredMask(NamedTuple):
    """The prediction of a frame.

    Attributes:
        labels (np.ndarray): Class of each pixel, int64, shape (H, W).
        probability (np.ndarray): Probability that it sounds, float32 in
            [0, 1], shape (H, W); 0 or 1 where only the class is known.
    """

    labels: np.ndarray
    probability: np.ndarray


def read_values(path: Path) -> np.ndarray:
    """Read the numbers of a file as they are stored.

    Args:
        path (Path): PNG or NumPy file.

    Returns:
        np.ndarray: Of a PNG of one channel or with a color table, integers
        (H, W); of colors, uint8 (H, W, 3), RGB; of a NumPy file, its array.

    Raises:
        ValueError: If it cannot be read; tells why.
    """
    data = path.read_bytes()
    if path.suffix == '.npy':
        if not data:
            raise ValueError('the file is empty (0 bytes)')
        values = np.load(io.BytesIO(data), allow_pickle=False)
        if isinstance(values, np.ndarray) and values.dtype.kind in 'buif':
            return values.astype(np.uint8) if values.dtype == bool else values
        raise ValueError('it holds no array of numbers')
    image = open_picture(data)
    if image.mode in ('RGB', 'RGBA', 'LA', 'CMYK'):
        return np.asarray(image.convert('RGB'))
    if image.mode == '1':
        image = image.convert('L').point(lambda v: v // 255)
    return np.asarray(image)


def decode(
    values: np.ndarray,
    kind: str,
    num_classes: int,
    palette: Sequence[Sequence[int]] | None = None,
) -> StoredMask:
    """Tell classes and probabilities from the numbers of a file.

    Args:
        values (np.ndarray): As :func:`read_values` gives them.
        kind (str): One of ``KINDS``.
        num_classes (int): Number of classes K, background included.
        palette (Sequence[Sequence[int]], optional): RGB color of each class.

    Returns:
        StoredMask: The prediction.

    Raises:
        ValueError: If the numbers are not of this kind; tells what arrived.
    """
    if kind == 'labels':
        labels = _class_ids(values, num_classes, palette)
        return StoredMask(labels, (labels > 0).astype(np.float32))
    if kind == 'mask':
        probability = _gray_probability(values, num_classes)
    else:
        values = _finite(values)
        if values.ndim == 3:
            return _of_classes(values, kind, num_classes)
        if values.ndim != 2 or num_classes != 2:
            raise ValueError(
                f'its shape is {values.shape}, expected '
                f'{"(height, width) or " if num_classes == 2 else ""}'
                f'({num_classes}, height, width)'
            )
        if kind == 'scores':
            probability = torch.from_numpy(values).sigmoid().numpy()
        else:
            probability = _in_range(values)
    return StoredMask((probability > 0.5).astype(np.int64), probability)


def detect_kind(values: np.ndarray, num_classes: int) -> str | None:
    """Find out of which kind a file is, if its numbers tell.

    Args:
        values (np.ndarray): As :func:`read_values` gives them.
        num_classes (int): Number of classes, background included.

    Returns:
        str | None: One of ``KINDS``; None if it may be a label map as well
        as a mask: of two classes, nothing but 0 and 1, or 0 only.
    """
    if values.dtype.kind == 'f':
        inside = values.size and values.min() >= 0 and values.max() <= 1
        if values.ndim == 3 and inside:
            inside = np.abs(values.sum(0) - 1).max() < TOLERANCE
        return 'probabilities' if inside else 'scores'
    if num_classes > 2:
        return 'labels'
    if values.ndim == 3 and (values != values[..., :1]).any():
        return 'labels'
    return 'mask' if values.max(initial=0) > 1 else None


def resize(
    mask: StoredMask, size: tuple[int, int], num_classes: int
) -> StoredMask:
    """Bring a prediction to another size.

    Args:
        mask (StoredMask): The prediction.
        size (tuple[int, int]): Height and width in pixels.
        num_classes (int): Number of classes, background included.

    Returns:
        StoredMask: Classes of the nearest pixels, probabilities between
        pixels. Where these are 0 and 1 only they follow the classes.
    """
    if mask.labels.shape == tuple(size):
        return mask
    labels = resize_labels(mask.labels, size)
    if np.isin(mask.probability, (0, 1)).all():
        return StoredMask(labels, (labels > 0).astype(np.float32))
    probability = cv2.resize(
        mask.probability, size[::-1], interpolation=cv2.INTER_LINEAR
    ).clip(0, 1)
    if num_classes == 2:
        labels = (probability > 0.5).astype(np.int64)
    return StoredMask(labels, probability)


def resize_labels(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring classes to another size, as ResizeAsOriginal does.

    Args:
        labels (np.ndarray): Class of each pixel, integers, shape (H, W).
        size (tuple[int, int]): Height and width in pixels.

    Returns:
        np.ndarray: int64, of that shape.
    """
    if labels.shape == tuple(size):
        return labels.astype(np.int64)
    return cv2.resize(
        labels.astype(np.int32), size[::-1], interpolation=cv2.INTER_NEAREST
    ).astype(np.int64)


def _class_ids(
    values: np.ndarray,
    num_classes: int,
    palette: Sequence[Sequence[int]] | None,
) -> np.ndarray:
    """Classes of a label map, int64 (H, W); ValueError if it is none."""
    if values.ndim == 3 and values.shape[-1] == 3 and values.dtype == np.uint8:
        return _classes_of_colors(values, palette)
    if values.ndim == 3 and len(values) == 1:
        values = values[0]
    if values.dtype.kind not in 'ui' or values.ndim != 2:
        raise ValueError(
            f'its shape is {values.shape} and its type {values.dtype}, '
            'expected integers of shape (height, width)'
        )
    strange = np.unique(values[(values < 0) | (values >= num_classes)])
    if len(strange):
        listed = ', '.join(map(str, strange[:5]))
        more = ', ...' if len(strange) > 5 else ''
        raise ValueError(
            f'it holds the values {listed}{more}, expected classes 0 to '
            f'{num_classes - 1}'
        )
    return values.astype(np.int64)


def _classes_of_colors(
    values: np.ndarray, palette: Sequence[Sequence[int]] | None
) -> np.ndarray:
    """Classes by their color, int64 (H, W)."""
    if palette is None:
        raise ValueError('it is a picture of colors, expected one channel')
    weights = np.array([1 << 16, 1 << 8, 1])
    colors = np.asarray(palette, np.int64) @ weights
    pixels = values.astype(np.int64) @ weights
    order = np.argsort(colors)
    place = np.searchsorted(colors, pixels, sorter=order)
    labels = order[place.clip(max=len(order) - 1)]
    unknown = np.unique(pixels[colors[labels] != pixels])
    if len(unknown):
        listed = ', '.join(
            str((c >> 16, c >> 8 & 255, c & 255)) for c in unknown[:3].tolist()
        )
        raise ValueError(
            f'{len(unknown)} of its colors are none of the palette (RGB '
            f'{listed}): expected the exact colors of the classes'
        )
    return labels


def _gray_probability(values: np.ndarray, num_classes: int) -> np.ndarray:
    """Probability that grays stand for, float32 (H, W)."""
    if num_classes != 2:
        raise ValueError(
            f'a mask tells of two classes, but the dataset has {num_classes}'
        )
    if values.ndim == 3 and (values == values[..., :1]).all():
        values = values[..., 0]
    if values.ndim != 2 or values.dtype.kind not in 'ui':
        raise ValueError(
            f'its shape is {values.shape} and its type {values.dtype}, '
            'expected grays of shape (height, width)'
        )
    white = 255 if values.dtype == np.uint8 else 65535
    if values.min(initial=0) < 0 or values.max(initial=0) > white:
        raise ValueError(f'it holds {values.max()}, above {white}')
    return (values / np.float32(white)).astype(np.float32)


def _finite(values: np.ndarray) -> np.ndarray:
    """The numbers as float32; ValueError if they are not finite."""
    if values.dtype.kind != 'f':
        raise ValueError(f'its type is {values.dtype}, expected floats')
    if values.ndim == 3 and len(values) == 1:
        values = values[0]
    if not np.isfinite(values).all():
        raise ValueError('it holds NaN or infinite numbers')
    return np.ascontiguousarray(values, np.float32)


def _in_range(values: np.ndarray) -> np.ndarray:
    """The numbers, if they are probabilities."""
    if values.size and (values.min() < 0 or values.max() > 1):
        raise ValueError(
            f'it holds numbers from {values.min():g} to {values.max():g}, '
            'expected probabilities from 0 to 1 (of scores before sigmoid or '
            'softmax: --kind scores)'
        )
    return values


def _of_classes(values: np.ndarray, kind: str, num_classes: int) -> StoredMask:
    """Prediction of numbers per class, float32 (K, H, W)."""
    if len(values) != num_classes:
        raise ValueError(
            f'its shape is {values.shape}, expected ({num_classes}, height, '
            'width), background first'
        )
    labels = values.argmax(0)
    if kind == 'scores':
        scores = torch.from_numpy(values)
        # Of two, as COMBO scores its sums of masks; see avsbench_jf.py.
        probability = (
            (scores[1] - scores[0]).sigmoid()
            if num_classes == 2
            else 1 - scores.softmax(0)[0]
        ).numpy()
        return StoredMask(labels, probability.clip(0, 1))
    sums = _in_range(values).sum(0)
    if values.size and np.abs(sums - 1).max() >= TOLERANCE:
        raise ValueError(
            'the probabilities of a pixel add up to '
            f'{sums.min():g} to {sums.max():g}, expected 1 (of scores before '
            'softmax: --kind scores)'
        )
    foreground = values[1] if num_classes == 2 else 1 - values[0]
    return StoredMask(labels, foreground.clip(0, 1))
