"""Cross-attention of pixels to one audio token, with sigmoid weights.

With a single token a softmax would give 1 everywhere; the sigmoid lets every
pixel and attention head decide how much of the sound it takes (CAVP).
"""

from typing import NamedTuple

import torch.nn as nn
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor


class AudioToken(NamedTuple):
    """What the pixels need of one sound, per attention head."""

    # Key in the space of the pixels, over the root of its width, [B, H, C].
    key: Tensor
    # Value after the output projection, [B, H, C].
    value: Tensor


class AudioVisualAttention(BaseModule):
    """One pre-norm block that adds a sound to the pixels of an image.

    Both modalities share the first normalization, and the residual starts
    from the normalized pixels, as CAVP has it. CAVP's update of the audio
    token is left out: nothing uses its result.

    One token per image makes products of matrices separable: query and
    output projections are applied to the token instead of every pixel. The
    result is the same up to rounding.

    Args:
        embed_dims (int): Channels C of the pixels.
        audio_dims (int): Size D of the audio embedding.
        num_heads (int): Attention heads H.
        mlp_ratio (int): Width of the MLP in multiples of ``embed_dims``.
        init_cfg (dict, optional): Initialization.
    """

    def __init__(
        self,
        *,
        embed_dims: int,
        audio_dims: int,
        num_heads: int = 4,
        mlp_ratio: int = 4,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if embed_dims % num_heads:
            raise ValueError(
                f'embed_dims must be a multiple of num_heads={num_heads}, '
                f'but got {embed_dims}.'
            )
        self.embed_dims = embed_dims
        self.num_heads = num_heads
        self.image_embed = nn.Linear(embed_dims, embed_dims)
        self.audio_embed = nn.Linear(audio_dims, embed_dims)
        self.norm1 = nn.LayerNorm(embed_dims)
        self.query = nn.Linear(embed_dims, embed_dims, bias=False)
        self.key = nn.Linear(embed_dims, embed_dims, bias=False)
        self.value = nn.Linear(embed_dims, embed_dims, bias=False)
        self.proj = nn.Linear(embed_dims, embed_dims)
        self.norm2 = nn.LayerNorm(embed_dims)
        self.fc1 = nn.Linear(embed_dims, mlp_ratio * embed_dims)
        self.fc2 = nn.Linear(mlp_ratio * embed_dims, embed_dims)
        self.norm = nn.LayerNorm(embed_dims)

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Embed pixels: what does not depend on the sound.

        Args:
            pixels (Tensor): ``[B, N, C]``.

        Returns:
            Tensor: Same shape.
        """
        return self.norm1(self.image_embed(pixels))

    def encode_audio(self, embedding: Tensor) -> AudioToken:
        """Make keys and values: what does not depend on the image.

        Args:
            embedding (Tensor): Audio embeddings, ``[B, D]``.

        Returns:
            AudioToken: Per sound and attention head.
        """
        token = self.norm1(self.audio_embed(embedding))  # [B, C]
        split = (self.num_heads, -1)
        width = self.embed_dims // self.num_heads
        key = self.key(token).unflatten(-1, split)  # [B, H, width]
        value = self.value(token).unflatten(-1, split)
        # Row blocks of the query projection and column blocks of the output
        # projection belong to the attention heads.
        query = self.query.weight.unflatten(0, split)  # [H, width, C]
        proj = self.proj.weight.t().unflatten(0, split)  # [H, width, C]
        key = (key.transpose(0, 1) @ query).transpose(0, 1)
        value = (value.transpose(0, 1) @ proj).transpose(0, 1)
        return AudioToken(key * width**-0.5, value)

    def attention_weights(self, pixels: Tensor, audio: AudioToken) -> Tensor:
        """Tell how much of the sound every pixel takes.

        Args:
            pixels (Tensor): Result of :meth:`encode_image`, ``[B, N, C]``.
            audio (AudioToken): One sound per image.

        Returns:
            Tensor: ``[B, N, H]`` in 0..1.
        """
        return (pixels @ audio.key.mT).sigmoid()

    def forward(self, pixels: Tensor, audio: AudioToken) -> Tensor:
        """Add sounds to the pixels.

        Args:
            pixels (Tensor): Result of :meth:`encode_image`, ``[B, N, C]``.
            audio (AudioToken): One sound per image.

        Returns:
            Tensor: Normalized, ``[B, N, C]``.
        """
        weights = self.attention_weights(pixels, audio)
        fused = pixels + weights @ audio.value + self.proj.bias
        hidden = F.gelu(self.fc1(self.norm2(fused)))
        return self.norm(fused + self.fc2(hidden))
