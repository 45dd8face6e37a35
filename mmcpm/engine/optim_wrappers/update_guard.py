"""Optimizer updates that keep NaN and infinity out of the weights.

The gradients alone decide. A non-finite loss makes them non-finite as well,
and several ranks sum their gradients, so that every rank decides alike
without asking the others.
"""

from typing import NamedTuple

import torch
import torch.nn as nn
from mmengine.dist import all_reduce
from mmengine.optim import OptimWrapper
from torch import Tensor


class Rejection(NamedTuple):
    """An update that did not take place.

    Attributes:
        parameters (list[nn.Parameter]): Those whose gradient is not finite.
        loss_scale (float, optional): The scale that mixed precision uses now,
            if it was lowered instead: with float16 gradients overflow now
            and then until a scale that fits is found.
    """

    parameters: list[nn.Parameter]
    loss_scale: float | None


def spread_non_finite(loss: Tensor) -> Tensor:
    """Let a non-finite loss make its gradients NaN, whatever they are.

    Returns:
        Tensor: The loss times one, or times NaN. Its value and gradients are
        bitwise unchanged where it is finite.
    """
    loss_value = loss.detach()
    one = torch.ones_like(loss_value)
    return loss * torch.where(loss_value.isfinite(), one, one * torch.nan)


def gradient_norms(parameters: list[nn.Parameter]) -> Tensor:
    """Compute the norm of each gradient.

    Returns:
        Tensor: ``[len(parameters)]`` float32 on the device of the first. A
        norm that overflows is infinite, although the gradient is not: it
        would be of no use either.
    """
    norms = torch._foreach_norm([p.grad.detach() for p in parameters])
    device = norms[0].device
    return torch.stack([norm.to(device, torch.float32) for norm in norms])


class UpdateGuard:
    """Stands between a training and its optimizer.

    An update with non-finite gradients does not take place: weights and
    optimizer state stay as they were, the gradients are dropped. With
    gradient accumulation that concerns all iterations of the update.

    Two methods of the wrapper are replaced in place, so that every kind of
    wrapper is guarded, with and without mixed precision, and configurations
    keep naming the kinds they know.

    On CUDA the host waits for the gradients once per update, right before
    mmengine does so to log their norm.

    Args:
        optim_wrapper (OptimWrapper): Optimizer wrapper of the training.
    """

    def __init__(self, optim_wrapper: OptimWrapper) -> None:
        self.optim_wrapper = optim_wrapper
        self._update_params = optim_wrapper.update_params
        self._step = optim_wrapper.step
        optim_wrapper.update_params = self.update_params
        optim_wrapper.step = self.step
        self._losses_are_finite: Tensor | None = None
        self._rejection: Rejection | None = None

    def update_params(self, loss: Tensor, *args, **kwargs) -> None:
        """Backward, and update if it is time to."""
        is_finite = loss.detach().isfinite()
        if self._losses_are_finite is not None:
            is_finite = is_finite & self._losses_are_finite
        self._losses_are_finite = is_finite
        self._update_params(spread_non_finite(loss), *args, **kwargs)

    def step(self, **kwargs) -> None:
        """Update the parameters, or note why not."""
        losses_are_finite = self._losses_are_finite
        self._losses_are_finite = None
        parameters = [
            parameter
            for group in self.optim_wrapper.optimizer.param_groups
            for parameter in group['params']
            if parameter.grad is not None
        ]
        if not parameters:
            self._step(**kwargs)
            return
        norms = gradient_norms(parameters)
        if norms.isfinite().all():
            self._step(**kwargs)
            return
        at_fault = (~norms.isfinite()).tolist()
        loss_scale = None
        scaler = getattr(self.optim_wrapper, 'loss_scaler', None)
        if scaler is not None and is_true_on_all_ranks(losses_are_finite):
            # It skips the update as well, and lowers its scale. A loss that
            # is not finite is no matter of its scale.
            self._step(**kwargs)
            loss_scale = scaler.get_scale()
        self._rejection = Rejection(
            [p for p, bad in zip(parameters, at_fault, strict=True) if bad],
            loss_scale,
        )

    def take_rejection(self) -> Rejection | None:
        """Return the rejection of the last update, once."""
        rejection, self._rejection = self._rejection, None
        return rejection


def is_true_on_all_ranks(flag: Tensor) -> bool:
    """Combine a flag of every rank."""
    number = flag.float()
    all_reduce(number, 'min')
    return bool(number)
