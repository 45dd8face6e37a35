"""How many channels of sound a backbone takes."""

import torch.nn as nn


def audio_channels(backbone: nn.Module) -> int:
    """Channels that an audio backbone takes: those of its first convolution.

    Args:
        backbone (nn.Module): The audio backbone.

    Returns:
        int: 1 (mono) if it has no convolution.
    """
    kinds = nn.Conv1d | nn.Conv2d | nn.Conv3d
    return next(
        (m.in_channels for m in backbone.modules() if isinstance(m, kinds)), 1
    )
