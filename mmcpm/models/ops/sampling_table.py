"""Where deformable attention reads: levels laid out as one table of pixels.

All levels get rows of one length, so that the four pixels around a sample are
the same numbers of table rows apart wherever it lies.
"""

import functools
from typing import NamedTuple

import torch
from torch import Tensor

from ..utils.transfers import few_numbers

# (height, width) of each level.
Sizes = tuple[tuple[int, int], ...]


class Corners(NamedTuple):
    """Where samples lie in a table of pixels, M = levels * points."""

    # Row of the upper left pixel, [R, M] int32; R = images, queries, heads.
    row: Tensor
    # Distance from there to the right and down, in pixels, [R, M].
    right: Tensor
    down: Tensor
    # Whether the sample moves with its location: not beyond the border.
    free_x: Tensor | None
    free_y: Tensor | None
    # Rows from the upper left pixel to all four.
    shifts: tuple[int, int, int, int]


@functools.lru_cache(maxsize=32)
def sample_constants(
    sizes: Sizes,
    num_heads: int,
    num_points: int,
    dtype: torch.dtype,
    device: torch.device,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Width, height and first row of the level of each sample; head rows.

    ``[M]`` each, and ``[heads, 1]`` int32.
    """
    with torch.inference_mode(False):
        inside = _pitch(sizes) + 1
        starts = [start + inside for start in _level_starts(sizes)[:-1]]
        heights, widths = zip(*sizes, strict=True)
        width, height, start = (
            few_numbers(numbers, device)
            .to(dtype)[:, None]
            .expand(-1, num_points)
            .flatten()
            for numbers in (widths, heights, starts)
        )
        head = torch.arange(num_heads, dtype=torch.int32, device=device)
        return width, height, start, head[:, None]


def _pitch(sizes: Sizes) -> int:
    """Pixels of a row of the table: the widest level and its border."""
    return max(width for _, width in sizes) + 2


def _level_starts(sizes: Sizes) -> list[int]:
    """First pixel of each level in the table of an image, and their number.

    A sample on the border's last pixel has neighbors, of weight 0, in one
    more row.
    """
    starts, pitch = [0], _pitch(sizes)
    for height, _ in sizes:
        starts.append(starts[-1] + (height + 2) * pitch)
    starts[-1] += pitch + 2
    return starts


def make_table(value: Tensor, sizes: Sizes) -> Tensor:
    """Surround each level by zeros; samples beyond its border find them.

    Args:
        value (Tensor): ``[B, tokens, heads, D]``.
        sizes (Sizes): Sizes of the levels.

    Returns:
        Tensor: ``[B, pixels, heads, D]``; all levels have rows of one length.
    """
    starts = _level_starts(sizes)
    table = value.new_zeros(len(value), starts[-1], *value.shape[2:])
    for inside, tokens in zip(
        _insides(table, sizes), _split(value, sizes), strict=True
    ):
        inside.copy_(tokens)
    return table


def read_table(table: Tensor, sizes: Sizes) -> Tensor:
    """Undo :func:`make_table`."""
    return torch.cat(
        [inside.flatten(1, 2) for inside in _insides(table, sizes)], 1
    )


def _insides(table: Tensor, sizes: Sizes) -> list[Tensor]:
    """Levels inside a table, ``[B, h, w, heads, D]`` each."""
    pitch = _pitch(sizes)
    return [
        table[:, start : start + (height + 2) * pitch].unflatten(
            1, (height + 2, pitch)
        )[:, 1 : height + 1, 1 : width + 1]
        for start, (height, width) in zip(
            _level_starts(sizes)[:-1], sizes, strict=True
        )
    ]


def _split(value: Tensor, sizes: Sizes) -> list[Tensor]:
    """Tokens of each level, ``[B, h, w, heads, D]`` each."""
    return [
        part.unflatten(1, size)
        for part, size in zip(
            value.split([height * width for height, width in sizes], 1),
            sizes,
            strict=True,
        )
    ]


def find_corners(locations: Tensor, sizes: Sizes, backward: bool) -> Corners:
    """Find the pixels around samples.

    Args:
        locations (Tensor): ``[B, Q, heads, levels, points, 2]``.
        sizes (Sizes): Sizes of the levels.
        backward (bool): Whether to tell which samples are free to move.

    Returns:
        Corners: In the table of :func:`make_table`, flat.
    """
    batch, _, num_heads, _, num_points, _ = locations.shape
    width, height, start, head = sample_constants(
        sizes, num_heads, num_points, locations.dtype, locations.device
    )
    x = (locations[..., 0].flatten(-2) * width).sub_(0.5)
    y = (locations[..., 1].flatten(-2) * height).sub_(0.5)
    free = (None, None)
    if backward:
        free = ((x >= -1) & (x < width), (y >= -1) & (y < height))
        free = tuple(part.flatten(0, 2) for part in free)
    # A location far outside, or not a number, must not leave the table.
    x = torch.minimum(x.nan_to_num_(-1.0).clamp_(min=-1.0), width)
    y = torch.minimum(y.nan_to_num_(-1.0).clamp_(min=-1.0), height)
    left, top = x.floor(), y.floor()
    pitch = _pitch(sizes)
    pixel = top.mul(pitch).add_(left).add_(start).to(torch.int32)
    row = pixel.mul_(num_heads).add_(head)
    if batch > 1:
        image = torch.arange(batch, dtype=torch.int32, device=row.device)
        image *= _level_starts(sizes)[-1] * num_heads
        row += image.view(-1, 1, 1, 1)
    shifts = (0, num_heads, pitch * num_heads, (pitch + 1) * num_heads)
    return Corners(
        row.flatten(0, 2),
        x.sub_(left).flatten(0, 2),
        y.sub_(top).flatten(0, 2),
        *free,
        shifts,
    )


def corner_weights(corners: Corners, weights: Tensor) -> list[Tensor]:
    """Attention times bilinear weights of the four pixels, ``[R, M]``."""
    lower = weights * corners.down
    upper = weights - lower
    lower_right = lower * corners.right
    upper_right = upper * corners.right
    return [
        upper - upper_right,
        upper_right,
        lower - lower_right,
        lower_right,
    ]
