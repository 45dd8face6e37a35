"""Batch normalisation where a second pass must not leave a trace."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch.nn as nn
from torch.nn.modules.batchnorm import _BatchNorm


def has_batch_statistics(module: nn.Module) -> bool:
    """Tell whether a module normalises by statistics of its batch now."""
    return any(
        isinstance(part, _BatchNorm)
        and (part.training or part.running_mean is None)
        for part in module.modules()
    )


@contextmanager
def frozen_running_statistics(module: nn.Module) -> Iterator[None]:
    """Let a module use batch statistics without remembering them.

    BatchNorm and SyncBatchNorm alike neither read nor write their buffers in
    training while they are told not to track them; in evaluation they use
    them as ever.

    Args:
        module (nn.Module): Its batch normalisations are looked for.
    """
    norms = [
        part
        for part in module.modules()
        if isinstance(part, _BatchNorm) and part.track_running_stats
    ]
    try:
        for norm in norms:
            norm.track_running_stats = False
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
