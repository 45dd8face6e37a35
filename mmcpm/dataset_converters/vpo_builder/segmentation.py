"""The masks of COCO-format annotations: polygons and run lengths."""

import math
from numbers import Real

import numpy as np
from pycocotools import mask as coco_mask

# How far a polygon may leave its picture, in heights or widths of it; more
# means that it belongs to another one.
MARGIN = 1.0


def encode_segmentation(
    segmentation: list | dict, height: int, width: int
) -> dict:
    """Bring a segmentation to compressed run lengths.

    Args:
        segmentation (list | dict): Polygons ``[[x, y, x, y, ...], ...]`` in
            pixels, or run lengths with ``size`` and ``counts`` (a list, or
            the string of pycocotools).
        height (int): Height of the picture, pixels.
        width (int): Width of the picture, pixels.

    Returns:
        dict: ``size`` and ``counts``, as pycocotools takes them.

    Raises:
        ValueError: If it is neither. The message tells what arrived.
    """
    if isinstance(segmentation, dict):
        return _encode_runs(segmentation, height, width)
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError(f'its segmentation is {str(segmentation)[:60]}')
    for polygon in segmentation:
        _check_polygon(polygon, height, width)
    parts = coco_mask.frPyObjects(segmentation, height, width)
    return coco_mask.merge(parts)


def _check_polygon(polygon: list, height: int, width: int) -> None:
    """Refuse what pycocotools would take for something else, or not stand."""
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        number = len(polygon) if isinstance(polygon, list) else polygon
        raise ValueError(
            f'a polygon has {number} coordinates where an even number from 6 '
            'on is expected'
        )
    for index, value in enumerate(polygon):
        length = height if index % 2 else width
        if (
            not isinstance(value, Real)
            or not math.isfinite(value)
            or not -MARGIN * length <= value <= (1 + MARGIN) * length
        ):
            raise ValueError(
                f'a polygon has the coordinate {value}, far outside of the '
                f'picture of {height} x {width} (height x width)'
            )


def _encode_runs(segmentation: dict, height: int, width: int) -> dict:
    """Check run lengths; compress them where they are not."""
    size, counts = (segmentation.get(key) for key in ('size', 'counts'))
    if size != [height, width]:
        raise ValueError(
            f'its run lengths are of size {size} (height, width), the '
            f'picture of {[height, width]}'
        )
    if isinstance(counts, str):
        runs = _decompress(counts)
    elif isinstance(counts, list):
        runs = counts
    else:
        raise ValueError(f'its counts are {str(counts)[:60]}')
    whole = all(isinstance(n, int) and n >= 0 for n in runs)
    if not whole or sum(runs) != height * width:
        total = sum(runs) if whole else 'no whole numbers from 0 on'
        raise ValueError(
            f'its run lengths add up to {total}, the picture has '
            f'{height * width} pixels'
        )
    return coco_mask.frPyObjects({'size': size, 'counts': runs}, height, width)


def _decompress(text: str) -> list[int]:
    """Read the run lengths that a string of pycocotools holds.

    Five bits per character and a sixth for 'more follows'; from the third
    run on, the difference to the last but one. pycocotools itself reads
    beyond the end of a string that was cut.
    """
    runs, value, shift = [], 0, 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f'its counts hold the character {character!r}')
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError('its counts end in the middle of a number')
    return runs


def mask_area(rle: dict) -> int:
    """Count the pixels of compressed run lengths."""
    return int(coco_mask.area(rle))


def mask_center(rle: dict) -> float:
    """Find the horizontal center of the box around run lengths, pixels."""
    left, _, width, _ = coco_mask.toBbox(rle)
    return float(left + width / 2)


def paint(masks: list[dict], height: int, width: int) -> np.ndarray:
    """Paint masks into one picture, the smallest last.

    A small object that overlaps a large one is mostly in front of it, or held
    by it.

    Args:
        masks (list[dict]): Compressed run lengths.
        height (int): Height of the picture, pixels.
        width (int): Width of the picture, pixels.

    Returns:
        np.ndarray: 0 for none and i + 1 for ``masks[i]``, uint8 ``[H, W]``.
    """
    picture = np.zeros((height, width), np.uint8)
    by_size = sorted(range(len(masks)), key=lambda i: -mask_area(masks[i]))
    for index in by_size:
        picture[coco_mask.decode(masks[index]).astype(bool)] = index + 1
    return picture
