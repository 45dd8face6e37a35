"""Bipartite matching that survives a non-finite prediction.

scipy refuses a cost matrix that is not finite ("matrix contains invalid
numeric entries"), which ends a training far away from the cause, and on
several ranks leaves the others waiting.
"""

import torch
from mmdet.models.task_modules.assigners import HungarianAssigner
from mmengine.structures import InstanceData
from mmseg.registry import TASK_UTILS
from torch import Tensor

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


class _FiniteCost:
    """A matching cost in float32, whatever mixed precision is used."""

    def __init__(self, match_cost) -> None:
        self.match_cost = match_cost

    def __call__(self, pred_instances: InstanceData, **kwargs) -> Tensor:
        # Sums over thousands of points overflow in float16.
        with torch.autocast(pred_instances.scores.device.type, enabled=False):
            predictions = InstanceData(
                scores=pred_instances.scores.float(),
                masks=pred_instances.masks.float(),
            )
            return finite_cost(
                self.match_cost(pred_instances=predictions, **kwargs)
            )


@TASK_UTILS.register_module()
class FiniteHungarianAssigner(HungarianAssigner):
    """mmdet's HungarianAssigner with finite costs, computed in float32.

    A prediction that is not finite is matched like any other; its loss then
    tells, see NonFiniteGuardHook.

    Args:
        **kwargs: Of HungarianAssigner.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.match_costs = [_FiniteCost(cost) for cost in self.match_costs]
