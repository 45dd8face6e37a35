"""Parts of TPAVI's decoder around the attention: context, and fusion.

They are those of two older networks: the classifier of DeepLab v2 with several
dilations, and RefineNet's fusion of a coarse with a finer map.
"""

import torch.nn as nn
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

DILATIONS = (3, 6, 12, 18)


class SummedDilatedConvs(BaseModule):
    """Sum of 3 x 3 convolutions of several dilations.

    Args:
        in_channels (int): Channels of the map.
        out_channels (int): Channels of the sum.
        dilations (tuple[int]): One convolution each.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dilations: tuple[int, ...] = DILATIONS,
    ) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(
                in_channels, out_channels, 3, padding=rate, dilation=rate
            )
            for rate in dilations
        )
        for conv in self.convs:
            nn.init.normal_(conv.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve.

        Args:
            x (Tensor): ``[B, in_channels, H, W]``.

        Returns:
            Tensor: ``[B, out_channels, H, W]``.
        """
        return sum(conv(x) for conv in self.convs)


class ResidualConvUnit(BaseModule):
    """Two 3 x 3 convolutions, each after a ReLU, and a skip connection.

    Args:
        channels (int): Channels of the map.
        rectified_skip (bool): Whether the skip connection is taken after the
            first ReLU, as in AVSBench's program, whose ReLU works in place,
            or before it, as RefineNet has it.
    """

    def __init__(self, channels: int, rectified_skip: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.rectified_skip = rectified_skip

    def forward(self, x: Tensor) -> Tensor:
        """Refine a map.

        Args:
            x (Tensor): ``[B, channels, H, W]``.

        Returns:
            Tensor: The same shape.
        """
        rectified = F.relu(x)
        skip = rectified if self.rectified_skip else x
        return self.conv2(F.relu(self.conv1(rectified))) + skip


class FeatureFusion(BaseModule):
    """Adds a map to a coarser one, and brings the sum to twice the size.

    Args:
        channels (int): Channels of the maps.
        is_coarsest (bool): Whether there is no coarser map.
        rectified_skip (bool): See :class:`ResidualConvUnit`.
    """

    def __init__(
        self,
        channels: int,
        is_coarsest: bool = False,
        rectified_skip: bool = True,
    ) -> None:
        super().__init__()
        self.refine_input = (
            None if is_coarsest else ResidualConvUnit(channels, rectified_skip)
        )
        self.refine_sum = ResidualConvUnit(channels, rectified_skip)

    def forward(
        self,
        x: Tensor,
        coarser: Tensor | None = None,
        size: tuple[int, int] | None = None,
    ) -> Tensor:
        """Fuse.

        Args:
            x (Tensor): Map of this level, ``[B, C, H, W]``.
            coarser (Tensor, optional): Result of the coarser level, of the
                same shape.
            size (tuple[int, int], optional): Height and width of the result.
                Defaults to twice those of the map.

        Returns:
            Tensor: ``[B, C, *size]``.
        """
        if self.refine_input is not None:
            x = coarser + self.refine_input(x)
        x = self.refine_sum(x)
        size = size or (2 * x.shape[-2], 2 * x.shape[-1])
        return F.interpolate(x, size, mode='bilinear', align_corners=True)
