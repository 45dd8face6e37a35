"""Mixed precision training on the CPU."""

from contextlib import contextmanager

import torch
import torch.nn as nn
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast
from mmseg.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """Runs the forward pass under bfloat16 autocast on the CPU.

    mmengine's AmpOptimWrapper insists on a GPU. bfloat16 has the range of
    float32, so no loss scaling is needed.

    Args:
        **kwargs: Arguments of mmengine's OptimWrapper.
    """

    @contextmanager
    def optim_context(self, model: nn.Module):
        """Forward under autocast, with gradient accumulation as usual."""
        with (
            super().optim_context(model),
            autocast(device_type='cpu', dtype=torch.bfloat16),
        ):
            yield
