"""VCP: a prompt for class k is responsible for class k (CPM, equation (6)).

The terms are Mask2Former's, computed by the head together with those of the
learned queries; only the Hungarian matching is missing.
"""

import torch
import torch.nn as nn
from mmdet.utils import reduce_mean
from mmseg.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class FixedAssignmentMaskLoss(nn.Module):
    """Visual conditional prompting, equation (6).

    Args:
        loss_weight (float): Factor of all three terms, beside the weights
            that the head gives to each of them.
    """

    def __init__(self, *, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(
        self,
        class_terms: Tensor,
        mask_terms: Tensor,
        dice_terms: Tensor,
        valid: Tensor,
        class_weight: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Average the terms of all predictions of the prompts.

        Args:
            class_terms (Tensor): Cross-entropy of each prompt's class in L
                predictions, times the weight of the class, ``[L, B, K]``
                float32.
            mask_terms (Tensor): Binary cross-entropy at points, of its mask,
                ``[L, B, K]``.
            dice_terms (Tensor): Dice loss at points, ``[L, B, K]``.
            valid (Tensor): ``[B, K]`` bool; other prompts count nothing.
            class_weight (Tensor, optional): Weights of the prompts' classes,
                ``[B, K]``, of which ``cls`` is a weighted mean; 1 if None.

        Returns:
            dict[str, Tensor]: ``cls``, ``mask`` and ``dice``, each averaged
            over the valid prompts of all ranks and summed over the
            predictions.
        """
        # The same collective on every rank, whatever it holds.
        numbers = valid.to(class_terms)
        if class_weight is None:
            class_weight = torch.ones_like(numbers)
        count, weight = reduce_mean(
            torch.stack([numbers.sum(), (numbers * class_weight).sum()])
        )
        # Their mean weight; 1 where nothing counts.
        weight = (weight / count).where(weight > 0, 1.0)
        count = count.clamp(min=1.0)
        terms = {'cls': class_terms, 'mask': mask_terms, 'dice': dice_terms}
        # Chosen, not multiplied: what a prompt without meaning predicts may
        # be anything.
        losses = {
            name: self.loss_weight * values.where(valid, 0.0).sum() / count
            for name, values in terms.items()
        }
        losses['cls'] = losses['cls'] / weight
        return losses
