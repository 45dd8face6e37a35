"""The M-step of class-conditional mixtures, and a look at how they fare.

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


def old_shares(
    num_updates: Tensor, momentum: float, growing: bool, assign_first: bool
) -> Tensor:
    """Share of the old means that the next update of each class keeps.

    Args:
        num_updates (Tensor): Updates so far, ``[K]`` int64.
        momentum (float): The share, or its limit if it grows.
        growing (bool): Whether it grows from 0.1 with the updates.
        assign_first (bool): Whether the first update keeps nothing.

    Returns:
        Tensor: ``[K]`` float32 in 0..1.
    """
    updates = num_updates.float()
    share = torch.full_like(updates, momentum)
    if growing:
        share = share.minimum((updates + 1) / (updates + 10))
    if assign_first:
        share = share * (updates > 0)
    return share


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
    old_share: Tensor,
    unit_mean: bool,
    sparse_variance: bool,
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
        old_share (Tensor): Share of the present means to keep, ``[K, M]``.
        unit_mean (bool): Whether means stay on the unit sphere.
        sparse_variance (bool): Whether components with fewer than two
            members take their class's variance, or keep their own.
        variance_floor (float): Added to every variance.

    Returns:
        Fit: Means, variances and weights, and the spread of the members. A
        component with fewer than two of them has the spread of its class.
    """
    counts, center, spread = maximization(members, responsibilities)
    class_center, class_spread = class_moments(members, valid)
    target = torch.where(dead[..., None], seed, center)
    if unit_mean:
        target = F.normalize(target, dim=-1)
    keep = old_share[..., None]
    moved = keep * mean + (1 - keep) * target
    if unit_mean:
        moved = F.normalize(moved, dim=-1)
    # About the mean that is used: as long as it is on its way to the
    # members, their distance to it is part of the variance. Without that
    # part, wide classes would win everywhere.
    fitted = spread + (center - moved).square()
    sparse = (counts < 2)[..., None]
    if sparse_variance:
        about_class = class_center[:, None] - moved
        whole = class_spread[:, None] + about_class.square()
        fitted = torch.where(sparse, whole, fitted) + variance_floor
    else:
        fitted = torch.where(sparse, variance, fitted + variance_floor)
    size = valid.sum(1, keepdim=True).clamp(min=1)
    weight = (counts / size).clamp(min=1e-4)
    return Fit(
        moved,
        fitted,
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
