"""Copies of buffers, averages and rates of a training, to go back to."""

import copy

import torch
import torch.nn as nn
from mmengine.model import BaseAveragedModel
from torch import Tensor


class BufferKeeper:
    """Keeps a copy of a model's buffers.

    Running statistics and memories are changed by the forward pass, before
    anything is known to be wrong.

    Args:
        model (nn.Module): The model, not wrapped.
        parameters (bool): Whether to keep its parameters as well.
    """

    def __init__(self, model: nn.Module, parameters: bool = False) -> None:
        self._places = [
            (tensors, name)
            for module in model.modules()
            for tensors in (
                module._buffers,
                *([module._parameters] if parameters else ()),
            )
            for name, tensor in tensors.items()
            if tensor is not None
        ]
        self._copies: list[Tensor] = []

    def keep(self) -> None:
        """Copy the buffers as they are now."""
        buffers = self._buffers()
        if [_form(b) for b in buffers] != [_form(c) for c in self._copies]:
            self._copies = [torch.empty_like(b) for b in buffers]
        if buffers:
            with torch.no_grad():
                torch._foreach_copy_(self._copies, buffers)

    def restore(self) -> None:
        """Give the buffers the kept values."""
        with torch.no_grad():
            for (tensors, name), kept in zip(
                self._places, self._copies, strict=True
            ):
                if _form(tensors[name]) == _form(kept):
                    tensors[name].copy_(kept)
                else:
                    tensors[name] = kept.clone()

    def _buffers(self) -> list[Tensor]:
        # Looked up anew: modules may replace the tensors.
        return [tensors[name] for tensors, name in self._places]


def averaged_models(runner) -> list[BaseAveragedModel]:
    """List the averaged models that hooks of a run keep (EMAHook)."""
    found = [getattr(hook, 'ema_model', None) for hook in runner.hooks]
    return [model for model in found if isinstance(model, BaseAveragedModel)]


class AverageGuard:
    """Lets a rejected update leave no trace in an averaged model.

    Args:
        average (BaseAveragedModel): The averaged model.
        accumulates (bool): Whether several iterations make an update: the
            earlier ones reach the average before the update is decided on.
    """

    def __init__(self, average: BaseAveragedModel, accumulates: bool) -> None:
        self._keeper = (
            BufferKeeper(average, parameters=True) if accumulates else None
        )
        self._update = average.update_parameters
        self._is_off = False
        average.update_parameters = self.update_parameters

    def begin(self) -> None:
        """Note the average at the begin of an update."""
        if self._keeper is not None:
            self._keeper.keep()

    def decide(self, rejected: bool) -> None:
        """Take the decision on the update, before the average is updated."""
        self._is_off = rejected
        if rejected and self._keeper is not None:
            self._keeper.restore()

    def update_parameters(self, model: nn.Module) -> None:
        """Average, unless the update did not take place."""
        if not self._is_off:
            self._update(model)


class EpochRates:
    """Learning rates and schedules as they are at the begin of an epoch.

    Args:
        runner (Runner): Runner of the training.
    """

    def __init__(self, runner) -> None:
        schedulers = runner.param_schedulers
        self._schedulers = schedulers if isinstance(schedulers, list) else []
        self._states = [
            copy.deepcopy(scheduler.state_dict())
            for scheduler in self._schedulers
        ]
        self._groups = runner.optim_wrapper.param_groups
        self._settings = [
            {key: value for key, value in group.items() if key != 'params'}
            for group in self._groups
        ]

    def restore(self) -> None:
        """Set them back."""
        for scheduler, state in zip(
            self._schedulers, self._states, strict=True
        ):
            scheduler.load_state_dict(state)
        for group, settings in zip(self._groups, self._settings, strict=True):
            group.update(settings)


def _form(tensor: Tensor) -> tuple:
    """Shape, type and device of a tensor."""
    return tensor.shape, tensor.dtype, tensor.device
