"""Statistics of the prompts, for the log: nothing here is trained."""

import torch
import torch.nn.functional as F
from mmdet.utils import reduce_mean
from torch import Tensor

from .query_predictions import PromptedPredictions, mask_logits


@torch.no_grad()
def prompt_overlap(
    mask_embedding: Tensor,
    mask_feature: Tensor,
    label_maps: Tensor,
    labels: Tensor,
) -> tuple[Tensor, Tensor]:
    """Intersection over union of the prompts' masks and their classes.

    Args:
        mask_embedding (Tensor): Embeddings of the prompts, ``[B, K, C]``.
        mask_feature (Tensor): ``[B, C, h, w]``.
        label_maps (Tensor): Class ids ``[B, H, W]``; the nearest of the
            pixels decides at the size of the masks.
        labels (Tensor): Classes of the prompts, ``[B, K]``.

    Returns:
        tuple[Tensor, Tensor]: IoU ``[B, K]`` float32, and whether the class
        has a pixel, ``[B, K]`` bool.
    """
    masks = mask_logits(mask_embedding, mask_feature) > 0
    small = F.interpolate(label_maps[:, None].float(), masks.shape[-2:])
    wanted = small == labels[..., None, None]  # [B, K, h, w]
    shared = (masks & wanted).sum((2, 3)).float()
    union = (masks | wanted).sum((2, 3)).float()
    return shared / union.clamp(min=1.0), wanted.any(-1).any(-1)


@torch.no_grad()
def prompt_stats(
    scores: Tensor,
    overlap: Tensor,
    seen: Tensor,
    labels: Tensor,
    valid: Tensor,
) -> dict[str, Tensor]:
    """Sum up over the batch and all ranks.

    Args:
        scores (Tensor): Class logits of the prompts, ``[B, K, classes + 1]``.
        overlap (Tensor): IoU of their masks, ``[B, K]``.
        seen (Tensor): Whether their class has a pixel, ``[B, K]`` bool.
        labels (Tensor): Their classes, ``[B, K]``, -1 for padding.
        valid (Tensor): Whether their class is known, ``[B, K]`` bool.

    Returns:
        dict[str, Tensor]: Scalars in 0..1: share of the prompts that are
        classified as their class, mean IoU of their masks, and share of the
        prompts that are ready.
    """
    right = (scores.argmax(-1) == labels) & valid
    seen = seen & valid
    counts = (right, valid, labels >= 0, overlap * seen, seen)
    right, valid, known, overlap, seen = reduce_mean(
        torch.stack([count.sum().float() for count in counts])
    )
    return {
        'prompt_accuracy': right / valid.clamp(min=1e-6),
        'prompts_ready': valid / known.clamp(min=1e-6),
        'prompt_iou': overlap / seen.clamp(min=1e-6),
    }


def prompt_log_vars(
    prompted: PromptedPredictions, mask_feature: Tensor, label_maps: Tensor
) -> dict[str, Tensor]:
    """Statistics of the last prediction.

    Args:
        prompted (PromptedPredictions): Queries and prompts.
        mask_feature (Tensor): ``[B, C, h, w]``.
        label_maps (Tensor): Class ids ``[B, H, W]``.

    Returns:
        dict[str, Tensor]: See :func:`prompt_stats`.
    """
    labels, predictions = prompted.labels, prompted.predictions
    first = predictions.query.shape[1] - labels.shape[1]
    overlap, seen = prompt_overlap(
        predictions.mask_embedding[-1, :, first:],
        mask_feature,
        label_maps,
        labels,
    )
    scores = predictions.class_scores[-1, :, first:]
    return prompt_stats(scores, overlap, seen, labels, prompted.valid)
