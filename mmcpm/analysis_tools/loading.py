"""Trained models for the analysis tools."""

from collections.abc import Callable

import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.runner import load_checkpoint
from mmseg.registry import MODELS

from mmcpm.compat import revert_sync_bn
from mmcpm.utils.checkpoints import check_weights_fit, read_checkpoint


def load_model(
    cfg: Config,
    checkpoint: str,
    check: Callable[[nn.Module], None] = lambda model: None,
) -> nn.Module:
    """Build a model, in evaluation mode, with the weights of a checkpoint.

    Args:
        cfg (Config): Configuration with ``model``.
        checkpoint (str): File or address.
        check (Callable): Refuses models of another kind, before their
            weights are compared.

    Returns:
        nn.Module: Model on the device that there is.

    Raises:
        UsageError: If the checkpoint is none or of another model.
    """
    weights = read_checkpoint(checkpoint)
    if not torch.cuda.is_available():
        revert_sync_bn(cfg.model)
    model = MODELS.build(cfg.model)
    check(model)
    check_weights_fit(model, weights, checkpoint)
    load_checkpoint(model, checkpoint, map_location='cpu', logger='silent')
    return model.to(get_device()).eval()
