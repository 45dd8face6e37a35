"""One optimizer that runs SGD for some parameters and Adam for others."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from mmseg.registry import OPTIMIZERS
from torch.optim import SGD, Adam, Optimizer

ALGORITHMS = {'sgd': SGD, 'adam': Adam}


@OPTIMIZERS.register_module()
class SGDAdam(Optimizer):
    """SGD with momentum, and Adam for the groups that ask for it.

    CAVP trains its vision by SGD and its audio backbone by Adam. mmengine
    could run two optimizers, but not with one learning rate schedule for
    both, mixed precision and NonFiniteGuardHook; as one, everything works.
    Groups choose by ``algorithm``, which ``paramwise_cfg`` can set::

        custom_keys={'audio_backbone': dict(algorithm='adam')}

    Args:
        params (Iterable): Parameters, or groups of them with settings.
        lr (float): Learning rate of groups that do not set their own.
        momentum (float): Of SGD.
        nesterov (bool): Of SGD.
        betas (tuple[float, float]): Of Adam.
        eps (float): Of Adam.
        weight_decay (float): Of both: added to the gradient.
        algorithm (str): 'sgd' or 'adam', for groups that do not say.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-3,
        *,
        momentum: float = 0.9,
        nesterov: bool = False,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        algorithm: str = 'sgd',
    ) -> None:
        unused = [torch.zeros(1)]
        self._parts = {
            'sgd': SGD(unused, lr, momentum, nesterov=nesterov),
            'adam': Adam(unused, lr, betas, eps),
        }
        defaults = {
            name: value
            for part in self._parts.values()
            for name, value in part.defaults.items()
        }
        defaults |= dict(weight_decay=weight_decay, algorithm=algorithm)
        super().__init__(params, defaults)
        for group in self.param_groups:
            if group['algorithm'] not in ALGORITHMS:
                raise ValueError(
                    f'algorithm must be one of {sorted(ALGORITHMS)}, but got '
                    f'{group["algorithm"]!r}.'
                )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters.

        Args:
            closure (Callable, optional): Computes the loss anew.

        Returns:
            Any: What the closure returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for name, part in self._parts.items():
            # Groups and state are this optimizer's: it saves and loads them.
            part.param_groups = [
                group
                for group in self.param_groups
                if group['algorithm'] == name
            ]
            part.state = self.state
            part.step()
        return loss
