"""Mask features that encode where in the frame a pixel is."""

import torch
import torch.nn as nn
from torch import Tensor


def encode_position(encoding: nn.Module, feature: Tensor) -> Tensor:
    """Encode the positions of the pixels of a map.

    Args:
        encoding (nn.Module): mmdet's SinePositionalEncoding.
        feature (Tensor): Map of that size, ``[B, ..., h, w]``.

    Returns:
        Tensor: ``[B, C, h, w]``.
    """
    size = (feature.shape[0], *feature.shape[-2:])
    return encoding(feature.new_zeros(size, dtype=torch.bool))


class MaskPosition(nn.Conv2d):
    """Adds a projection of the positional encoding to a mask feature.

    Mask2Former's mask feature hardly encodes the position: without it, a
    query for a sound from the left cannot choose the left one of two objects
    that look alike.

    Args:
        encoding (nn.Module): mmdet's SinePositionalEncoding, normalized:
            frames of all sizes vary alike.
        encoding_dims (int): Its channels.
        dims (int): Channels of the mask feature.
    """

    def __init__(
        self, encoding: nn.Module, encoding_dims: int, dims: int
    ) -> None:
        super().__init__(encoding_dims, dims, 1)
        self.encoding = encoding

    def init_weights(self) -> None:
        """Let the position vary by one over a frame, about as the rest does.

        Most of a positional encoding hardly varies over a frame; with the
        usual weights the position is too faint to be found.
        """
        place = encode_position(
            self.encoding, self.weight.new_zeros(1, 1, 32, 32)
        )
        variance = place.var(dim=(2, 3)).sum()
        nn.init.normal_(self.weight, std=variance.rsqrt().item())
        nn.init.zeros_(self.bias)

    def forward(self, mask_feature: Tensor) -> Tensor:
        """Add the positions.

        Args:
            mask_feature (Tensor): ``[B, C, h, w]``.

        Returns:
            Tensor: ``[B, C, h, w]``.
        """
        place = encode_position(self.encoding, mask_feature)
        return mask_feature + super().forward(place)
