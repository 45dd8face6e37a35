"""AVSegFormer's cross-modal mixer: the sound gates the channels of a map."""

import torch.nn as nn
from mmengine.model import BaseModule
from torch import Tensor


class ChannelGate(BaseModule):
    """Attends from an audio token to a map, and weighs the map's channels.

    Keys and values are linear in the map. Instead of projecting every pixel,
    the query goes through the projection of the keys, and what the heads
    gather from the map through that of the values: the same sums in another
    order, without a projected map.

    Args:
        embed_dims (int): Channels C of map and token.
        num_heads (int): Attention heads.
    """

    def __init__(self, embed_dims: int = 256, num_heads: int = 8) -> None:
        super().__init__()
        if embed_dims % num_heads:
            raise ValueError(
                f'embed_dims must be a multiple of num_heads, but got '
                f'{embed_dims} and {num_heads}.'
            )
        self.num_heads = num_heads
        self.scale = (embed_dims // num_heads) ** -0.5
        self.q_proj = nn.Linear(embed_dims, embed_dims, bias=False)
        self.kv_proj = nn.Linear(embed_dims, 2 * embed_dims, bias=False)
        self.proj = nn.Linear(embed_dims, embed_dims)

    def init_weights(self) -> None:
        """Initialize as the original does, by Xavier's uniform values."""
        for module in (self.q_proj, self.kv_proj, self.proj):
            nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(self.proj.bias)

    def forward(self, token: Tensor, feature: Tensor) -> Tensor:
        """Weigh the channels.

        Args:
            token (Tensor): Audio token, ``[B, 1, C]``.
            feature (Tensor): Map, ``[B, C, h, w]``.

        Returns:
            Tensor: Factors of the channels, ``[B, C]``, in 0..1.
        """
        pixels = feature.flatten(2)  # [B, C, h * w]
        keys, values = (
            weight.unflatten(0, (self.num_heads, -1))  # [heads, D, C]
            for weight in self.kv_proj.weight.chunk(2)
        )
        query = self.q_proj(token[:, 0]).unflatten(-1, (self.num_heads, 1, -1))
        query = (query @ keys)[:, :, 0] * self.scale  # [B, heads, C]
        weights = (query @ pixels).softmax(-1)  # [B, heads, h * w]
        gathered = weights @ pixels.mT  # [B, heads, C]
        attended = (values @ gathered[..., None]).flatten(1)  # [B, C]
        return self.proj(attended).sigmoid()
