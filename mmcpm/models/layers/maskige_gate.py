"""Adds the features of a maskige to those of the frame (COMBO)."""

import torch.nn as nn
from mmengine.model import BaseModule
from torch import Tensor

from .mlp import mlp


class MaskigeGate(BaseModule):
    """Adds a level of the maskige, weighted channel by channel.

    The weights are those of a squeeze-and-excitation block on the maskige.

    Args:
        channels (int): Channels of the level, C.
        ratio (int): By how much the block squeezes them.
        init_cfg (dict, optional): Initialization, see mmengine's BaseModule.
    """

    def __init__(
        self, channels: int, ratio: int = 16, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg)
        self.gate = mlp(channels, channels // ratio, channels)
        self.gate.append(nn.Sigmoid())

    def forward(
        self, image_feature: Tensor, maskige_feature: Tensor
    ) -> Tensor:
        """Add.

        Args:
            image_feature (Tensor): ``[B, C, h, w]``.
            maskige_feature (Tensor): ``[B, C, h, w]``.

        Returns:
            Tensor: ``[B, C, h, w]``.
        """
        weight = self.gate(maskige_feature.mean((2, 3)))
        return image_feature + weight[..., None, None] * maskige_feature
