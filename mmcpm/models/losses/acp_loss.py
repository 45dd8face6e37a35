"""ACP: prompts recover the clean spectrogram (CPM, equation (5))."""

from collections.abc import Iterable, Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor

from ..utils.query_predictions import PromptedPredictions
from ..utils.transfers import few_numbers

REDUCTIONS = ('mse', 'norm')


def ratio_mask(clean: Tensor, mixture: Tensor) -> Tensor:
    """Share of the clean sound in the mixture, the target of equation (5).

    Args:
        clean (Tensor): Linear magnitude ``[B, channels, T, F]``.
        mixture (Tensor): Linear magnitude of the mixture, same shape.

    Returns:
        Tensor: ``[B, T, F]`` in 0..1; channels are averaged first, and
        silence in both gives 0.
    """
    ratio = clean.mean(1) / mixture.mean(1).clamp(min=1e-6)
    return ratio.clamp(0.0, 1.0)


def recoverable_prompts(
    prompted: PromptedPredictions,
    sounding: Sequence[Iterable[int]],
    mixed: Tensor,
) -> Tensor:
    """Tell which prompts can recover a sound.

    Prompts of some of the classes cannot account for the sound of all.

    Args:
        prompted (PromptedPredictions): Classes and prompts of B images.
        sounding (Sequence[Iterable[int]]): Classes that sound, per image.
        mixed (Tensor): Whether another sound was mixed in, ``[B]`` bool.

    Returns:
        Tensor: ``[B, K]`` bool.
    """
    accounted = [
        set(own) <= set(classes)
        for own, classes in zip(sounding, prompted.classes, strict=True)
    ]
    labels, valid = prompted.labels, prompted.valid
    missing = ((labels >= 0) & ~valid).any(1)
    whole = few_numbers(accounted, missing.device).bool() & ~missing
    return valid & (mixed & whole)[:, None]


def recovered_ratio(
    mask_logits: Tensor, size: tuple[int, int], weight: Tensor
) -> Tensor:
    """Ratio mask that the prompts of a frame predict together.

    Args:
        mask_logits (Tensor): Audio mask logits, ``[B, K, t, f]``.
        size (tuple[int, int]): T and F.
        weight (Tensor): ``[B, K]`` in 0..1, 0 for padding.

    Returns:
        Tensor: ``[B, T, F]`` in 0..1.
    """
    summed = (mask_logits * weight[..., None, None]).sum(1, keepdim=True)
    summed = F.interpolate(
        summed, size=size, mode='bilinear', align_corners=False
    )[:, 0]
    return summed.sigmoid()


def ratio_mask_loss(
    mask_logits: Tensor,
    target: Tensor,
    valid: Tensor,
    reduction: str = 'mse',
) -> Tensor:
    """Distance between the sum of the prompts' masks and the ratio mask.

    Args:
        mask_logits (Tensor): Audio mask logits of the prompts,
            ``[B, K, t, f]``; they are resized to the target.
        target (Tensor): Ratio masks, ``[B, T, F]``.
        valid (Tensor): ``[B, K]`` bool or 0..1 weights, 0 for padding.
        reduction (str): 'mse' averages the squares, as the paper's prose
            says; 'norm' takes the Euclidean norm, as its formula does.

    Returns:
        Tensor: Scalar, averaged over the samples with a valid prompt; 0,
        with a gradient of 0, if there is none.
    """
    weight = valid.to(mask_logits)
    summed = recovered_ratio(mask_logits, target.shape[-2:], weight)
    square = (summed - target).square().flatten(1)  # [B, T * F]
    if reduction == 'mse':
        distance = square.mean(1)
    else:
        # The root has no gradient at 0.
        distance = (square.sum(1) + 1e-12).sqrt()
    sample = (weight > 0).any(1).to(distance)
    return (distance * sample).sum() / sample.sum().clamp(min=1.0)


@torch.no_grad()
def unexplained_ratio(
    mask_logits: Tensor, target: Tensor, valid: Tensor
) -> Tensor:
    """Share of the ratio masks' variance that the prompts leave open.

    A falling loss alone may mean no more than that their average was learned.

    Args:
        mask_logits (Tensor): See :func:`ratio_mask_loss`.
        target (Tensor): ``[B, T, F]``.
        valid (Tensor): ``[B, K]`` bool.

    Returns:
        Tensor: Scalar: squared error of the prompts over that of the best
        constant for the samples with a valid prompt; 1 is no better than a
        constant, 0 is perfect. 1 if there is no such sample.
    """
    weight = valid.to(target)
    square = (
        recovered_ratio(mask_logits.to(target), target.shape[-2:], weight)
        - target
    ).square()
    sample = (weight > 0).any(1).to(target)
    count = sample.sum().clamp(min=1.0)
    constant = (target.mean((1, 2)) * sample).sum() / count
    error = (square.mean((1, 2)) * sample).sum()
    spread = ((target - constant).square().mean((1, 2)) * sample).sum()
    ratio = error / spread.clamp(min=1e-12)
    return torch.where(spread > 0, ratio, torch.ones_like(ratio))


@MODELS.register_module()
class RatioMaskLoss(nn.Module):
    """Audio conditional prompting, equation (5).

    Args:
        loss_weight (float): Factor.
        reduction (str): 'mse' or 'norm', see :func:`ratio_mask_loss`.
    """

    def __init__(
        self, *, loss_weight: float = 1.0, reduction: str = 'mse'
    ) -> None:
        super().__init__()
        if reduction not in REDUCTIONS:
            raise ValueError(
                f'reduction must be one of {REDUCTIONS}, but got '
                f'{reduction!r}.'
            )
        self.loss_weight = loss_weight
        self.reduction = reduction

    def forward(
        self, mask_logits: Tensor, target: Tensor, valid: Tensor
    ) -> Tensor:
        """See :func:`ratio_mask_loss`."""
        with torch.autocast(mask_logits.device.type, enabled=False):
            return self.loss_weight * ratio_mask_loss(
                mask_logits.float(), target.float(), valid, self.reduction
            )
