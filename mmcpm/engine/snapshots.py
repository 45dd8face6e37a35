"""Copies of what a training changes beside its weights, to go back to."""

import copy

import torch
import torch.nn as nn
from torch import Tensor


class BufferKeeper:
    """Keeps a copy of a model's buffers.

    Running statistics and memories are changed by the forward pass, before
    anything is known to be wrong.

    Args:
        model (nn.Module): The model, not wrapped.
    """

    def __init__(self, model: nn.Module) -> None:
        self._places = [
            (module, name)
            for module in model.modules()
            for name, buffer in module._buffers.items()
            if buffer is not None
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
            for (module, name), kept in zip(
                self._places, self._copies, strict=True
            ):
                if _form(module._buffers[name]) == _form(kept):
                    module._buffers[name].copy_(kept)
                else:
                    module._buffers[name] = kept.clone()

    def _buffers(self) -> list[Tensor]:
        # Looked up anew: modules may replace the tensors.
        return [module._buffers[name] for module, name in self._places]


class EpochRates:
    """Learning rates and schedules as they are at the begin of an epoch.

    Args:
        runner (Runner): Of the training.
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
