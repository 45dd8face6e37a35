"""Batch normalisation where a second pass must not leave a trace."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch.nn as nn
from torch.nn.modules.batchnorm import _BatchNorm


def has_batch_statistics(module: nn.Module) -> bool:
    """Tell whether a module normalises by statistics of its batch now."""
    return any(
        isinstance(part, _BatchNorm) and part.training
        for part in module.modules()
    )


@contextmanager
def frozen_running_statistics(module: nn.Module) -> Iterator[None]:
    """Let a module use batch statistics without remembering them.

    Args:
        module (nn.Module): Its batch normalisations are looked for.
    """
    norms = [
        (part, part.momentum, part.num_batches_tracked)
        for part in module.modules()
        if isinstance(part, _BatchNorm) and part.track_running_stats
    ]
    try:
        for norm, _, _ in norms:
            norm.momentum = 0.0
            norm.num_batches_tracked = None
        yield
    finally:
        for norm, momentum, tracked in norms:
            norm.momentum = momentum
            norm.num_batches_tracked = tracked
