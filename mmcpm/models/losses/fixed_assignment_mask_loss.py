"""VCP: a prompt for class k is responsible for class k (CPM, equation (6)).

The terms are Mask2Former's, computed by the head together with those of the
learnt queries; only the Hungarian matching is missing.
"""

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
    ) -> dict[str, Tensor]:
        """Average the terms of all predictions of the prompts.

        Args:
            class_terms (Tensor): Cross-entropy of each prompt's class in L
                predictions, ``[L, B, K]`` float32.
            mask_terms (Tensor): Binary cross-entropy at points, of its mask,
                ``[L, B, K]``.
            dice_terms (Tensor): Dice loss at points, ``[L, B, K]``.
            valid (Tensor): ``[B, K]`` bool; other prompts count nothing.

        Returns:
            dict[str, Tensor]: ``cls``, ``mask`` and ``dice``, each averaged
            over the valid prompts of all ranks and summed over the
            predictions.
        """
        # The same collective on every rank, whatever it holds.
        count = reduce_mean(valid.sum().to(class_terms)).clamp(min=1.0)
        terms = {'cls': class_terms, 'mask': mask_terms, 'dice': dice_terms}
        # Chosen, not multiplied: what a prompt without meaning predicts may
        # be anything.
        return {
            name: self.loss_weight * values.where(valid, 0.0).sum() / count
            for name, values in terms.items()
        }
