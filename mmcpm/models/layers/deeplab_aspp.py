"""Atrous spatial pyramid pooling with one normalization for all branches."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.dist import get_world_size
from mmengine.model import BaseModule
from torch import Tensor

# Slope of the leaky ReLUs.
SLOPE = 0.01


def normalize_pooled(norm: nn.Module, x: Tensor) -> Tensor:
    """Normalize one value per image and channel.

    A batch of a single image has no variance: its statistics would be the
    values themselves. The running ones take their place then.

    Args:
        norm (nn.Module): A batch normalization.
        x (Tensor): ``[B, C, 1, 1]``.

    Returns:
        Tensor: Same shape.
    """
    is_shared = isinstance(norm, nn.SyncBatchNorm) and get_world_size() > 1
    if not norm.training or len(x) > 1 or is_shared:
        return norm(x)
    return F.batch_norm(
        x,
        norm.running_mean,
        norm.running_var,
        norm.weight,
        norm.bias,
        training=False,
        eps=norm.eps,
    )


class DeepLabASPP(BaseModule):
    """The pyramid pooling of CAVP's DeepLabV3+.

    It differs from mmseg's ASPPHead: the branches are concatenated first and
    normalized together, the pooled branch is added instead of concatenated,
    and the activations are leaky.

    Args:
        in_channels (int): Channels of the coarsest level.
        out_channels (int): Channels of the result.
        branch_channels (int): Channels of each branch.
        dilations (tuple[int]): Dilations of the 3 x 3 convolutions beside
            the 1 x 1 one.
        norm_cfg (dict): Batch normalization.
        init_cfg (dict, optional): Initialization.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int = 256,
        branch_channels: int = 256,
        dilations: tuple[int, ...] = (6, 12, 18),
        norm_cfg: dict,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.out_channels = out_channels
        self.branches = nn.ModuleList(
            [nn.Conv2d(in_channels, branch_channels, 1, bias=False)]
        )
        for dilation in dilations:
            self.branches.append(
                nn.Conv2d(
                    in_channels,
                    branch_channels,
                    3,
                    padding=dilation,
                    dilation=dilation,
                    bias=False,
                )
            )
        width = len(self.branches) * branch_channels
        self.branch_norm = build_norm_layer(norm_cfg, width)[1]
        self.branch_reduce = nn.Conv2d(width, out_channels, 1, bias=False)
        self.pool_conv = nn.Conv2d(in_channels, branch_channels, 1, bias=False)
        self.pool_norm = build_norm_layer(norm_cfg, branch_channels)[1]
        self.pool_reduce = nn.Conv2d(
            branch_channels, out_channels, 1, bias=False
        )
        self.norm = build_norm_layer(norm_cfg, out_channels)[1]

    def forward(self, x: Tensor) -> Tensor:
        """Collect context at several scales and of the whole image.

        Args:
            x (Tensor): ``[B, in_channels, h, w]``.

        Returns:
            Tensor: ``[B, out_channels, h, w]``.
        """
        branches = torch.cat([branch(x) for branch in self.branches], 1)
        local = self.branch_reduce(
            F.leaky_relu(self.branch_norm(branches), SLOPE)
        )
        pooled = self.pool_conv(x.mean((2, 3), keepdim=True))
        pooled = normalize_pooled(self.pool_norm, pooled)
        whole = self.pool_reduce(F.leaky_relu(pooled, SLOPE))
        return F.leaky_relu(self.norm(local + whole), SLOPE)
