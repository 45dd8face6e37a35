"""Normalization where a second pass must not leave a trace."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch.nn as nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

# What BatchNorm, SyncBatchNorm and InstanceNorm remember.
STATISTICS = ('running_mean', 'running_var', 'num_batches_tracked')


def _remembers(module: nn.Module) -> bool:
    """Tell whether a module writes running statistics now."""
    return (
        isinstance(module, _NormBase)
        and module.training
        and module.running_mean is not None
    )


def has_batch_statistics(module: nn.Module) -> bool:
    """Tell whether samples of one batch are not independent in a module.

    Args:
        module (nn.Module): Its normalizations are looked for.

    Returns:
        bool: Whether one normalizes by statistics of its batch now, or
        remembers them.
    """
    return any(
        _remembers(part)
        or (isinstance(part, _BatchNorm) and part.running_mean is None)
        for part in module.modules()
    )


@contextmanager
def frozen_running_statistics(module: nn.Module) -> Iterator[None]:
    """Let a module use batch statistics without remembering them.

    Normalizations in training have no running statistics meanwhile; in
    evaluation they use them as ever. Nothing is checkpointed: the backward
    pass would compute, and remember, it again.

    Args:
        module (nn.Module): Its normalizations are looked for.
    """
    parts = list(module.modules())
    checkpointed = [p for p in parts if getattr(p, 'with_cp', False)]
    norms = [
        (part, {name: getattr(part, name) for name in STATISTICS})
        for part in filter(_remembers, parts)
    ]
    try:
        for part in checkpointed:
            part.with_cp = False
        for norm, _ in norms:
            norm.track_running_stats = False
            # InstanceNorm would write them all the same.
            norm._buffers.update(dict.fromkeys(STATISTICS))
        yield
    finally:
        for part in checkpointed:
            part.with_cp = True
        for norm, statistics in norms:
            norm.track_running_stats = True
            norm._buffers.update(statistics)
