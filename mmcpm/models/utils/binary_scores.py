"""Scores of two classes from one logit."""

import torch
from torch import Tensor


def two_class_scores(logit: Tensor) -> Tensor:
    """Put the score 0 of the background in front of a foreground logit.

    The softmax of the two scores is the sigmoid of the logit, so that argmax
    and probabilities are those of a model with one output.

    Args:
        logit (Tensor): Foreground logits, ``[B, 1, H, W]``.

    Returns:
        Tensor: Scores of background and foreground, ``[B, 2, H, W]``.

    Raises:
        ValueError: If there is not exactly one logit per pixel.
    """
    if logit.shape[1] != 1:
        raise ValueError(
            'two_class_scores expects one logit per pixel, shape [B, 1, H, '
            f'W], but got {tuple(logit.shape)}.'
        )
    return torch.cat([torch.zeros_like(logit), logit], 1)
