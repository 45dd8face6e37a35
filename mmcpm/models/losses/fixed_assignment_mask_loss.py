"""VCP: a prompt for class k is responsible for class k (CPM, equation (6)).

The losses are Mask2Former's, without the Hungarian matching.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmcv.ops import point_sample
from mmdet.models.utils import get_uncertain_point_coords_with_randomness
from mmdet.utils import reduce_mean
from mmseg.registry import MODELS
from torch import Tensor


def weighted_class_loss(
    class_scores: Tensor, labels: Tensor, weight: Tensor
) -> Tensor:
    """Cross-entropy of every prompt's class, summed over predictions.

    Args:
        class_scores (Tensor): Logits ``[L, B, K, classes + 1]``.
        labels (Tensor): ``[B, K]`` int64; negative where the weight is 0.
        weight (Tensor): ``[B, K]``.

    Returns:
        Tensor: Scalar sum, to be divided by the number of prompts.
    """
    target = labels.clamp(min=0).expand(class_scores.shape[:-1])
    loss = F.cross_entropy(
        class_scores.flatten(0, 2), target.flatten(), reduction='none'
    )
    return (loss.view(len(class_scores), -1) * weight.flatten()).sum()


def sample_mask_points(
    mask_logits: Tensor,
    masks: Tensor,
    num_points: int,
    oversample_ratio: float,
    importance_ratio: float,
) -> tuple[Tensor, Tensor]:
    """Read predictions and targets at points that are hard to decide.

    Args:
        mask_logits (Tensor): ``[L, R, h, w]``: L predictions of R rows.
        masks (Tensor): Targets ``[R, H, W]``, bool or 0..1.
        num_points (int): Points per row, P.
        oversample_ratio (float): See mmdet's function.
        importance_ratio (float): See mmdet's function.

    Returns:
        tuple[Tensor, Tensor]: Logits and targets, ``[L, R, P]`` each.
    """
    layers, rows = mask_logits.shape[:2]
    flat = mask_logits.flatten(0, 1)[:, None]  # [L * R, 1, h, w]
    with torch.no_grad():
        points = get_uncertain_point_coords_with_randomness(
            flat, None, num_points, oversample_ratio, importance_ratio
        )  # [L * R, P, 2]
        # One call reads a target for all predictions: it is not repeated.
        grouped = points.unflatten(0, (layers, rows)).transpose(0, 1)
        targets = point_sample(masks[:, None].to(flat), grouped.flatten(1, 2))
        targets = targets[:, 0].unflatten(1, (layers, num_points))
    logits = point_sample(flat, points)[:, 0].unflatten(0, (layers, rows))
    return logits, targets.transpose(0, 1)


@MODELS.register_module()
class FixedAssignmentMaskLoss(nn.Module):
    """Visual conditional prompting, equation (6).

    Args:
        class_weight (float): Factor of the classification term.
        mask_weight (float): Factor of the binary cross-entropy at points.
        dice_weight (float): Factor of the dice term at points.
        num_points (int): Points per mask.
        oversample_ratio (float): As in Mask2Former.
        importance_ratio (float): As in Mask2Former.
    """

    def __init__(
        self,
        *,
        class_weight: float = 2.0,
        mask_weight: float = 5.0,
        dice_weight: float = 5.0,
        num_points: int = 12544,
        oversample_ratio: float = 3.0,
        importance_ratio: float = 0.75,
    ) -> None:
        super().__init__()
        self.class_weight = class_weight
        self.mask_weight = mask_weight
        self.dice_weight = dice_weight
        self.num_points = num_points
        self.oversample_ratio = oversample_ratio
        self.importance_ratio = importance_ratio

    def forward(
        self,
        class_scores: list[Tensor],
        mask_logits: list[Tensor],
        labels: Tensor,
        masks: Tensor,
        valid: Tensor,
    ) -> dict[str, Tensor]:
        """Losses of all predictions of the prompts.

        Args:
            class_scores (list[Tensor]): Per prediction ``[B, K, C + 1]``.
            mask_logits (list[Tensor]): Per prediction ``[B, K, h, w]``.
            labels (Tensor): Class of each prompt, ``[B, K]`` int64.
            masks (Tensor): Its pixels, ``[B, K, H, W]`` bool.
            valid (Tensor): ``[B, K]`` bool; other prompts count nothing.

        Returns:
            dict[str, Tensor]: ``cls``, ``mask`` and ``dice``, each averaged
            over the valid prompts and summed over the predictions.
        """
        with torch.autocast(valid.device.type, enabled=False):
            scores = torch.stack(class_scores).float()  # [L, B, K, C + 1]
            logits = torch.stack(mask_logits).float().flatten(1, 2)
            weight = valid.to(scores)
            # The same collective on every rank, whatever it holds.
            count = reduce_mean(weight.sum()).clamp(min=1.0)
            points, targets = sample_mask_points(
                logits,
                masks.flatten(0, 1),
                self.num_points,
                self.oversample_ratio,
                self.importance_ratio,
            )  # [L, B * K, P]
            row = weight.flatten()  # [B * K]
            binary = F.binary_cross_entropy_with_logits(
                points, targets, reduction='none'
            ).mean(-1)
            probability = points.sigmoid()
            overlap = (probability * targets).sum(-1)
            total = probability.sum(-1) + targets.sum(-1)
            dice = 1 - (2 * overlap + 1) / (total + 1)
            classes = weighted_class_loss(scores, labels, weight)
            return {
                'cls': self.class_weight * classes / count,
                'mask': self.mask_weight * (binary * row).sum() / count,
                'dice': self.dice_weight * (dice * row).sum() / count,
            }
