"""The M-step of class-conditional mixtures, and a diagnosis of them.

CPM, equation (4), with what it leaves open: how a mean moves from where it
was, and what becomes of components without members. Pure functions on all
classes at once. Shapes: K classes, M components, D dimensions, S members.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .gaussian_mixture import class_moments, maximization


class Fit(NamedTuple):
    """Mixtures after an update; K classes, M components, D dimensions."""

    # [K, M, D].
    mean: Tensor
    # About the mean, of which the densities are made, [K, M, D].
    variance: Tensor
    # [K, M]; they sum to one.
    weight: Tensor
    # Of the members about their own center, [K, M, D].
    spread: Tensor


def least_likely_members(
    members: Tensor, likelihood: Tensor, valid: Tensor, dead: Tensor
) -> Tensor:
    """A least likely member for every dead component.

    Each takes another one: components that begin as twins stay twins.

    Args:
        members (Tensor): ``[K, S, D]``.
        likelihood (Tensor): Log densities of the members, ``[K, S]``.
        valid (Tensor): ``[K, S]`` bool.
        dead (Tensor): ``[K, M]`` bool.

    Returns:
        Tensor: ``[K, M, D]``, arbitrary where nothing is dead.
    """
    num_components, dims = dead.shape[1], members.shape[-1]
    likelihood = likelihood.masked_fill(~valid, torch.inf)
    worst = likelihood.topk(num_components, largest=False).indices
    place = dead.long().cumsum(1) - 1
    place = place.minimum(valid.sum(1, keepdim=True) - 1).clamp(min=0)
    index = worst.gather(1, place)  # [K, M]
    return members.gather(1, index[..., None].expand(-1, -1, dims))


def fit(
    members: Tensor,
    responsibilities: Tensor,
    valid: Tensor,
    dead: Tensor,
    *,
    mean: Tensor,
    variance: Tensor,
    seed: Tensor,
    momentum: float,
    variance_floor: float,
) -> Fit:
    """Move all mixtures towards their members, equation (4).

    Args:
        members (Tensor): ``[K, S, D]``.
        responsibilities (Tensor): ``[K, S, M]``, 0 where there is no member.
        valid (Tensor): ``[K, S]`` bool.
        dead (Tensor): Components without members, ``[K, M]`` bool.
        mean (Tensor): Present means, ``[K, M, D]``.
        variance (Tensor): Present variances, ``[K, M, D]``.
        seed (Tensor): Where dead components are drawn to, ``[K, M, D]``.
        momentum (float): Share of the present means to keep.
        variance_floor (float): Added to every variance.

    Returns:
        Fit: Means on the unit sphere, variances and weights, and the spread
        of the members. A component with fewer than two of them keeps its
        variance and has the spread of its class.
    """
    counts, center, spread = maximization(members, responsibilities)
    _, class_spread = class_moments(members, valid)
    target = F.normalize(torch.where(dead[..., None], seed, center), dim=-1)
    # A tensor: 1 minus it is rounded as the means are.
    keep = mean.new_full((), momentum)
    moved = F.normalize(keep * mean + (1 - keep) * target, dim=-1)
    # About the mean that is used: as long as it is on its way to the
    # members, their distance to it is part of the variance. Without that
    # part, wide classes would win everywhere.
    fitted = spread + (center - moved).square() + variance_floor
    sparse = (counts < 2)[..., None]
    size = valid.sum(1, keepdim=True).clamp(min=1)
    weight = (counts / size).clamp(min=1e-4)
    return Fit(
        moved,
        torch.where(sparse, variance, fitted),
        weight / weight.sum(1, keepdim=True),
        torch.where(sparse, class_spread[:, None], spread) + variance_floor,
    )


def diagnose(
    mean: Tensor, log_prob: Tensor, valid: Tensor, num_updates: Tensor
) -> Tensor:
    """Tell whether the mixtures keep the classes apart.

    Args:
        mean (Tensor): ``[K, M, D]``.
        log_prob (Tensor): Log densities of all members under all classes,
            ``[K, S, K]``.
        valid (Tensor): ``[K, S]`` bool.
        num_updates (Tensor): Updates of every class, ``[K]`` int64.

    Returns:
        Tensor: Mean cosine between the means of different classes, accuracy
        of the members under the mixtures, and the share of the variance of
        log densities over classes that is the same for every member;
        ``[3]``, each 0 while it is not defined.
    """
    fitted = num_updates > 0
    center = F.normalize(mean.mean(1), dim=-1)
    pairs = fitted[:, None] & fitted[None]
    pairs = pairs & ~torch.eye(
        len(fitted), dtype=torch.bool, device=fitted.device
    )
    cosine = (center @ center.T * pairs).sum() / pairs.sum().clamp(min=1)

    weight = valid.to(mean)
    total = weight.sum().clamp(min=1.0)
    own = torch.arange(len(fitted), device=fitted.device)[:, None]
    right = (log_prob.argmax(-1) == own) * weight
    bias = (log_prob * weight[..., None]).sum((0, 1)) / total
    spread = log_prob.var(-1, correction=0) * weight
    share = bias.var(correction=0) / (spread.sum() / total).clamp(1e-12)
    share = share * (weight.sum() > 0)
    return torch.stack([cosine, right.sum() / total, share])
