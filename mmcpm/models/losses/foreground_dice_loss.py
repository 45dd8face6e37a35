"""AVSegFormer's dice loss of what sounds, and its mixing loss."""

import torch
import torch.nn as nn
from mmseg.registry import MODELS
from torch import Tensor


def frame_dice(
    probability: Tensor, target: Tensor, eps: float = 1e-3
) -> Tensor:
    """Dice loss with squares in the denominator (V-Net's), frame by frame.

    Args:
        probability (Tensor): ``[B, H, W]``, in 0..1.
        target (Tensor): The same, 0 or 1.
        eps (float): Added to both sums of squares.

    Returns:
        Tensor: ``[B]``, in 0..1.
    """
    probability, target = probability.flatten(1), target.flatten(1)
    both = (probability * target).sum(1)
    squares = probability.square().sum(1) + target.square().sum(1)
    return 1 - 2 * both / (squares + 2 * eps)


@MODELS.register_module()
class ForegroundDiceLoss(nn.Module):
    """Dice loss of the classes other than background, averaged over frames.

    As the loss of a prediction it takes the logit of "sounds". As the mixing
    loss it takes the channel mean of the mask feature that the sound has
    gated, which is to tell by itself what sounds.

    Args:
        loss_weight (float): Factor.
        eps (float): See :func:`frame_dice`.
    """

    def __init__(
        self,
        *,
        loss_weight: float = 1.0,
        eps: float = 1e-3,
    ) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.eps = eps

    def forward(
        self, logits: Tensor, labels: Tensor, ignore_index: int = 255
    ) -> Tensor:
        """Compare with the foreground.

        Args:
            logits (Tensor): ``[B, 1, H, W]``.
            labels (Tensor): Class ids ``[B, H, W]``.
            ignore_index (int): Label of pixels that are left out. A frame of
                nothing else does not count.

        Returns:
            Tensor: Scalar.
        """
        with torch.autocast(logits.device.type, enabled=False):
            valid = labels != ignore_index
            target = (valid & (labels > 0)).float()
            terms = frame_dice(
                logits[:, 0].float().sigmoid() * valid, target, self.eps
            )
            counted = valid.flatten(1).any(1)
            mean = (terms * counted).sum() / counted.sum().clamp(min=1)
            return self.loss_weight * mean
