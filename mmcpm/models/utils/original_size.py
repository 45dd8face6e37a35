"""From the padded, resized and flipped input back to the frame."""

import torch.nn.functional as F
from torch import Tensor


def restore_original(
    scores: Tensor, meta: dict, align_corners: bool = False
) -> Tensor:
    """Undo padding, flip and resizing of the scores of a frame.

    Resizing to the size that is there already is left out, which saves a
    pass over all classes and pixels.

    Args:
        scores (Tensor): ``[classes, H, W]``.
        meta (dict): Meta information of the frame: ``ori_shape``, and
            ``img_padding_size`` or ``padding_size`` (left, right, top,
            bottom), ``flip`` and ``flip_direction`` where it was changed.
        align_corners (bool): See PyTorch's interpolate.

    Returns:
        Tensor: ``[classes, *ori_shape]``.
    """
    height, width = scores.shape[-2:]
    left, right, top, bottom = meta.get(
        'img_padding_size', meta.get('padding_size', (0, 0, 0, 0))
    )
    scores = scores[:, top : height - bottom, left : width - right]
    if meta.get('flip'):
        axis = {'horizontal': 2, 'vertical': 1}[meta['flip_direction']]
        scores = scores.flip(axis)
    size = tuple(meta['ori_shape'][:2])
    if tuple(scores.shape[-2:]) == size:
        return scores.contiguous()
    return F.interpolate(
        scores[None], size=size, mode='bilinear', align_corners=align_corners
    )[0]
