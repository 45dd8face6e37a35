"""Masks and label maps at points, the way Mask2Former's losses read them.

All functions work on any number of masks (rows) at once: one gather and one
loss serve the predictions of all layers, of queries and of prompts.
"""

import numpy as np
import torch
from mmcv.ops import point_sample
from mmdet.models.utils import get_uncertain_point_coords_with_randomness
from torch import Tensor

from ..utils.transfers import to_host


def classes_present(
    label_maps: Tensor, ignore_index: int = 255
) -> list[list[int]]:
    """List the classes of every label map, with one copy to the host.

    Args:
        label_maps (Tensor): Class ids ``[B, H, W]``, -1 to 255.
        ignore_index (int): Label to leave out.

    Returns:
        list[list[int]]: Ascending class ids. Ids beyond 255 are listed as
        256, negative ones as -1.
    """
    flat = label_maps.flatten(1).long().clamp(-1, 256) + 1
    found = flat.new_zeros((len(flat), 258), dtype=torch.bool)
    found.scatter_(1, flat, True)
    return [
        [k for k in (np.flatnonzero(row) - 1).tolist() if k != ignore_index]
        for row in to_host(found)
    ]


def class_mask_at_points(
    label_maps: Tensor, images: Tensor, classes: Tensor, points: Tensor
) -> Tensor:
    """Read masks of classes at points, without making the masks.

    What bilinear interpolation of the mask ``label_map == k`` gives: the
    share of the four nearest pixels that belong to the class; beyond the
    border nothing does.

    Args:
        label_maps (Tensor): Class ids ``[B, H, W]``.
        images (Tensor): Image of every mask, ``[R]`` int64.
        classes (Tensor): Class of every mask, ``[R]`` int64.
        points (Tensor): x and y in 0..1, ``[R, P, 2]``.

    Returns:
        Tensor: ``[R, P]`` in 0..1, of the type of the points.
    """
    height, width = label_maps.shape[-2:]
    flat = label_maps.reshape(-1)
    x = points[..., 0] * width - 0.5
    y = points[..., 1] * height - 0.5
    left, top = x.floor(), y.floor()
    start = (images * (height * width))[:, None]  # [R, 1]
    wanted = classes[:, None].to(flat.dtype)
    share = torch.zeros_like(x)
    for row, row_weight in ((top, top + 1 - y), (top + 1, y - top)):
        for column, weight in ((left, left + 1 - x), (left + 1, x - left)):
            inside = (row >= 0) & (row < height)
            inside = inside & (column >= 0) & (column < width)
            index = row.clamp(0, height - 1) * width
            index = index + column.clamp(0, width - 1)
            same = flat[start + index.long()] == wanted
            share = share + row_weight * weight * (same & inside)
    return share


def uncertain_points(
    mask_logits: Tensor,
    num_points: int,
    oversample_ratio: float,
    importance_ratio: float,
) -> Tensor:
    """Choose points where the masks are hard to decide, and random ones.

    Args:
        mask_logits (Tensor): ``[R, h, w]``.
        num_points (int): Points per row, P.
        oversample_ratio (float): Candidates per point.
        importance_ratio (float): Share of the points that are uncertain.

    Returns:
        Tensor: x and y in 0..1, ``[R, P, 2]`` float32.
    """
    with torch.no_grad():
        return get_uncertain_point_coords_with_randomness(
            mask_logits[:, None].detach().float(),
            None,
            num_points,
            oversample_ratio,
            importance_ratio,
        )


def logits_at_points(mask_logits: Tensor, points: Tensor) -> Tensor:
    """Read masks at points.

    Args:
        mask_logits (Tensor): ``[R, h, w]``.
        points (Tensor): x and y in 0..1, ``[R, P, 2]``.

    Returns:
        Tensor: ``[R, P]``.
    """
    return point_sample(mask_logits[:, None], points)[:, 0]
