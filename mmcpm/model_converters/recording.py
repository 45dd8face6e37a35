"""What the modules of a model return in a forward pass."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch.nn as nn
from torch import Tensor


@contextlib.contextmanager
def record_outputs(
    modules: Mapping[str, nn.Module],
) -> Iterator[dict[str, Any]]:
    """Keep what modules return.

    Args:
        modules (Mapping[str, nn.Module]): Modules by the names to keep it by.

    Yields:
        dict[str, Any]: Filled by the next forward pass.
    """
    found: dict[str, Any] = {}
    hooks = []
    for name, module in modules.items():

        def keep(module, arguments, output, name=name):
            # A ReLU may work in place on it later.
            is_tensor = isinstance(output, Tensor)
            found[name] = output.clone() if is_tensor else output

        hooks.append(module.register_forward_hook(keep))
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
