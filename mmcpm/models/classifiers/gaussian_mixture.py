"""Mathematics of class-conditional mixtures of diagonal Gaussians.

CPM, equations (2) to (4). All functions work on all classes at once and
never ask the device for a value, so that they cost no synchronization.
Shapes: K classes, M components, D dimensions, S samples per class.
"""

import math

import torch
from torch import Tensor


def component_log_prob(
    features: Tensor, mean: Tensor, variance: Tensor
) -> Tensor:
    """Log density of every Gaussian component.

    The square is expanded into three matrix products, which keeps the
    largest temporary at one number per feature and component.

    Args:
        features (Tensor): ``[..., D]`` float32.
        mean (Tensor): ``[K, M, D]``.
        variance (Tensor): Diagonals, ``[K, M, D]``, positive.

    Returns:
        Tensor: ``[..., K, M]``.
    """
    num_classes, num_components, dims = mean.shape
    precision = variance.reciprocal().flatten(0, 1)  # [K * M, D]
    center = mean.flatten(0, 1)
    quadratic = (
        features.square() @ precision.T
        - 2 * features @ (center * precision).T
        + (center.square() * precision).sum(-1)
    )  # [..., K * M]
    log_determinant = variance.flatten(0, 1).log().sum(-1)
    log_prob = -0.5 * (
        quadratic + log_determinant + dims * math.log(2 * math.pi)
    )
    return log_prob.unflatten(-1, (num_classes, num_components))


def member_log_prob(members: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Log density of members under the components of their own class.

    Args:
        members (Tensor): ``[K, S, D]``.
        mean (Tensor): ``[K, M, D]``.
        variance (Tensor): ``[K, M, D]``.

    Returns:
        Tensor: ``[K, S, M]``.
    """
    dims = members.shape[-1]
    precision = variance.reciprocal()
    quadratic = (
        members.square() @ precision.mT
        - 2 * members @ (mean * precision).mT
        + (mean.square() * precision).sum(-1)[:, None]
    )
    log_determinant = variance.log().sum(-1)[:, None]  # [K, 1, M]
    return -0.5 * (quadratic + log_determinant + dims * math.log(2 * math.pi))


def em_responsibilities(
    log_prob: Tensor, log_weight: Tensor, valid: Tensor
) -> Tensor:
    """E-step of expectation maximization, equation (3).

    Args:
        log_prob (Tensor): Log densities of the members, ``[K, S, M]``.
        log_weight (Tensor): Log mixing weights, ``[K, M]``.
        valid (Tensor): ``[K, S]`` bool, False where there is no member.

    Returns:
        Tensor: Responsibilities, ``[K, S, M]``; they sum to 1 over the
        components for a member and are 0 elsewhere.
    """
    joint = log_prob + log_weight[:, None]
    return joint.softmax(-1) * valid[..., None]


def sinkhorn_responsibilities(
    log_prob: Tensor,
    valid: Tensor,
    epsilon: float = 0.05,
    iterations: int = 3,
) -> Tensor:
    """E-step with equal shares: every component gets as many members.

    GMMSeg's assignment (Liang et al., NeurIPS 2022), in the log domain and
    for all classes at once.

    Args:
        log_prob (Tensor): Log densities of the members, ``[K, S, M]``.
        valid (Tensor): ``[K, S]`` bool.
        epsilon (float): Entropy regularization, relative to the largest
            absolute log density of a class.
        iterations (int): Rounds of normalization.

    Returns:
        Tensor: One-hot responsibilities, ``[K, S, M]``; 0 where there is no
        member.
    """
    scale = (log_prob.abs() * valid[..., None]).amax((1, 2), keepdim=True)
    plan = log_prob / scale.clamp(min=1e-12) / epsilon
    plan = plan.masked_fill(~valid[..., None], -torch.inf)
    count = valid.sum(1).clamp(min=1)[:, None, None]  # [K, 1, 1]
    for _ in range(iterations):
        # Components: mass 1 / M each. An empty class has no mass at all.
        mass = plan.logsumexp(1, keepdim=True)
        plan = plan - mass.masked_fill(mass.isinf(), 0.0)
        plan = plan - math.log(log_prob.shape[-1])
        # Members: mass 1 / count each.
        mass = plan.logsumexp(2, keepdim=True)
        plan = plan - mass.masked_fill(mass.isinf(), 0.0) - count.log()
    chosen = plan.argmax(-1)  # [K, S]
    one_hot = torch.zeros_like(log_prob)
    one_hot.scatter_(-1, chosen[..., None], 1.0)
    return one_hot * valid[..., None]


def maximization(
    members: Tensor, responsibilities: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """M-step, equation (4), with weights N_m / |F_c| that sum to one.

    Args:
        members (Tensor): ``[K, S, D]``.
        responsibilities (Tensor): ``[K, S, M]``, 0 where there is no member.

    Returns:
        tuple[Tensor, Tensor, Tensor]: Effective counts ``[K, M]``, means and
        variances ``[K, M, D]``. Components without a member get zeros.
    """
    counts = responsibilities.sum(1)  # [K, M]
    divisor = counts.clamp(min=1e-6)[..., None]
    mean = responsibilities.mT @ members / divisor
    second = responsibilities.mT @ members.square() / divisor
    return counts, mean, (second - mean.square()).clamp(min=0.0)


def class_moments(members: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and total variance of every class.

    Args:
        members (Tensor): ``[K, S, D]``.
        valid (Tensor): ``[K, S]`` bool.

    Returns:
        tuple[Tensor, Tensor]: ``[K, D]`` each; zeros for an empty class.
    """
    _, mean, variance = maximization(members, valid[..., None].to(members))
    return mean[:, 0], variance[:, 0]


def shrink_variance(
    variance: Tensor, count: Tensor, fitted: Tensor, strength: float
) -> Tensor:
    """Pull every class towards the variance that the fitted ones share.

    A class that was never fitted gets the shared variance: with a wider one
    it would attract whatever is far from everything.

    Args:
        variance (Tensor): ``[K, M, D]``.
        count (Tensor): Members of every class, ``[K]``.
        fitted (Tensor): Classes that were fitted, ``[K]`` bool.
        strength (float): Members that the shared variance counts for.

    Returns:
        Tensor: ``[K, M, D]``; unchanged as long as no class was fitted.
    """
    weight = (count * fitted).to(variance)  # [K]
    pooled = (weight[:, None] * variance.mean(1)).sum(0)
    pooled = pooled / weight.sum().clamp(min=1.0)  # [D]
    share = weight / (weight + strength).clamp(min=1e-6)
    share = share[:, None, None]
    shrunk = share * variance + (1 - share) * pooled
    return torch.where(fitted.any(), shrunk, variance)
