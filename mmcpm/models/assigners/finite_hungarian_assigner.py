"""Bipartite matching of all predictions at once, which survives any value.

scipy refuses a cost matrix that is not finite ("matrix contains invalid
numeric entries"), which ends a training far away from the cause, and on
several ranks leaves the others waiting. And a copy of one small matrix to
the host costs as much as one of all: a step has one copy, not one per image
and layer.
"""

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from mmdet.models.task_modules.assigners import (
    CrossEntropyLossCost,
    HungarianAssigner,
)
from mmengine.structures import InstanceData
from mmseg.registry import TASK_UTILS
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..utils.transfers import to_host

# Larger than any cost of a finite prediction, small enough to be summed.
LARGEST_COST = 1e6


def finite_cost(cost: Tensor) -> Tensor:
    """Replace what is not finite, so that a matching exists.

    Args:
        cost (Tensor): ``[predictions, targets]``.

    Returns:
        Tensor: The same, with NaN and infinity at :data:`LARGEST_COST`.
    """
    return cost.nan_to_num(LARGEST_COST, LARGEST_COST, -LARGEST_COST)


def mask_cross_entropy(mask_logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of every mask with every target.

    ``-log sigmoid(x) t - log sigmoid(-x) (1 - t) = softplus(x) - x t``: one
    pass over the predictions and one matrix product.

    Args:
        mask_logits (Tensor): At points, ``[N, P]``.
        targets (Tensor): ``[G, P]`` in 0..1.

    Returns:
        Tensor: Means over the points, ``[N, G]``.
    """
    total = F.softplus(mask_logits).sum(1, keepdim=True)
    return (total - mask_logits @ targets.T) / mask_logits.shape[1]


class _FiniteCost:
    """A matching cost in float32, whatever mixed precision is used."""

    def __init__(self, match_cost) -> None:
        self.match_cost = match_cost

    def __call__(
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        **kwargs,
    ) -> Tensor:
        # Sums over thousands of points overflow in float16.
        with torch.autocast(pred_instances.scores.device.type, enabled=False):
            predictions = InstanceData(
                scores=pred_instances.scores.float(),
                masks=pred_instances.masks.float(),
            )
            if type(self.match_cost) is CrossEntropyLossCost:
                # What mmdet's own code gives, in a third of the time.
                cost = self.match_cost.weight * mask_cross_entropy(
                    predictions.masks.flatten(1),
                    gt_instances.masks.flatten(1).float(),
                )
            else:
                cost = self.match_cost(
                    pred_instances=predictions,
                    gt_instances=gt_instances,
                    **kwargs,
                )
            return finite_cost(cost)


@TASK_UTILS.register_module()
class FiniteHungarianAssigner(HungarianAssigner):
    """mmdet's HungarianAssigner with finite costs, computed in float32.

    A prediction that is not finite is matched like any other; its loss then
    tells, see NonFiniteGuardHook.

    Args:
        **kwargs: Arguments of HungarianAssigner.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.match_costs = [_FiniteCost(cost) for cost in self.match_costs]

    def cost(
        self, class_scores: Tensor, mask_logits: Tensor, targets: InstanceData
    ) -> Tensor:
        """Sum the matching costs of predictions and targets of an image.

        Args:
            class_scores (Tensor): Logits ``[N, classes + 1]``.
            mask_logits (Tensor): At points, ``[N, P]``.
            targets (InstanceData): ``labels`` ``[G]`` and ``masks`` at the
                points, ``[G, P]``.

        Returns:
            Tensor: ``[N, G]`` float32, finite.
        """
        predictions = InstanceData(scores=class_scores, masks=mask_logits)
        return torch.stack(
            [
                match_cost(pred_instances=predictions, gt_instances=targets)
                for match_cost in self.match_costs
            ]
        ).sum(0)

    @torch.no_grad()
    def match(
        self,
        class_scores: Tensor,
        mask_logits: Iterable[Tensor],
        targets: list[InstanceData],
    ) -> list[list[tuple[np.ndarray, np.ndarray]]]:
        """Match L predictions of every image, with one copy to the host.

        Args:
            class_scores (Tensor): Logits ``[L, B, N, classes + 1]``.
            mask_logits (Iterable[Tensor]): Per image, at points of its own,
                ``[L, N, P]``.
            targets (list[InstanceData]): Per image, see :meth:`cost`.

        Returns:
            list[list[tuple[np.ndarray, np.ndarray]]]: Per prediction and
            image the matched queries and their targets, both
            ``[min(N, G)]`` int64.
        """
        layers, _, queries = class_scores.shape[:3]
        costs = [
            self.cost(
                class_scores[:, image].flatten(0, 1),
                masks.flatten(0, 1),
                target,
            ).flatten()
            for image, (masks, target) in enumerate(
                zip(mask_logits, targets, strict=True)
            )
        ]
        on_host = to_host(torch.cat(costs))
        sizes = [layers * queries * len(target) for target in targets]
        parts = np.split(on_host, np.cumsum(sizes)[:-1])
        return [
            [
                linear_sum_assignment(
                    part.reshape(layers, queries, len(target))[layer]
                )
                for part, target in zip(parts, targets, strict=True)
            ]
            for layer in range(layers)
        ]
