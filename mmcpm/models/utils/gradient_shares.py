"""Which loss moves the audio decoder: shares of its gradient."""

from collections.abc import Iterable

import torch
import torch.nn as nn
from torch import Tensor

# Groups of loss terms by a part of their names; the first that fits counts.
GROUPS = ('vcp', 'acp', 'pcl', 'cls', 'mask', 'dice')


def group_losses(losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """Sum the loss terms of each kind over all predictions.

    Args:
        losses (dict[str, Tensor]): Scalars by name; names without "loss" are
            left out.

    Returns:
        dict[str, Tensor]: Sums by group, see :data:`GROUPS`; terms of no
        group are "other".
    """
    sums: dict[str, Tensor] = {}
    for name, value in losses.items():
        if 'loss' not in name:
            continue
        group = next((g for g in GROUPS if g in name), 'other')
        sums[group] = sums.get(group, 0) + value.mean()
    return sums


def gradient_shares(
    losses: dict[str, Tensor], parameters: Iterable[nn.Parameter]
) -> dict[str, Tensor]:
    """Share of the gradient that comes from each kind of loss.

    The graph is kept, and no ``.grad`` is touched.

    Args:
        losses (dict[str, Tensor]): Scalars by name, with a graph.
        parameters (Iterable[nn.Parameter]): Those whose gradient is shared
            out.

    Returns:
        dict[str, Tensor]: By group the norm of its gradient over the sum of
        all groups' norms, in 0..1; 0 where no gradient arrives. Empty if all
        parameters are frozen.
    """
    parameters = [p for p in parameters if p.requires_grad]
    if not parameters:
        return {}
    norms = {}
    for group, loss in group_losses(losses).items():
        norms[group] = loss.new_zeros(())
        if loss.requires_grad:
            gradients = torch.autograd.grad(
                loss, parameters, retain_graph=True, allow_unused=True
            )
            norms[group] = sum(
                (g.float().square().sum() for g in gradients if g is not None),
                norms[group],
            ).sqrt()
    total = sum(norms.values()).clamp(min=1e-12) if norms else None
    return {group: norm / total for group, norm in norms.items()}
