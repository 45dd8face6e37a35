"""COMBO's bilateral fusion: the mask feature and the sound attend to another.

With one audio token per frame, the attention is a softmax over the pixels of
the frame, and serves both directions (COMBO, Section 3.3).
"""

import torch
import torch.nn as nn
from mmdet.models.layers import SinePositionalEncoding
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor

from .mask_position import encode_position

# Half precision holds no more; float32 never comes near.
MAX_LOGIT = 5e4


class BilateralAttention(nn.Module):
    """Attention between the pixels of a frame and its one audio token.

    The pixels are never projected: their logits, the mean that the sound
    takes and the vectors that the pixels take are products with a few folded
    vectors per frame, ``heads`` of them in place of ``embed_dims``.

    Args:
        visual_dims (int): Channels of the pixels, C.
        audio_dims (int): Channels of the sound, D.
        embed_dims (int): Channels of queries, keys and values, of all heads.
        num_heads (int): Heads.
        dropout (float): Rate at which attention weights are dropped.
    """

    def __init__(
        self,
        *,
        visual_dims: int,
        audio_dims: int,
        embed_dims: int,
        num_heads: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if embed_dims % num_heads:
            raise ValueError(
                f'embed_dims must be a multiple of num_heads={num_heads}, but '
                f'got {embed_dims}.'
            )
        self.heads = (num_heads, embed_dims // num_heads)
        self.visual_proj = nn.Linear(visual_dims, embed_dims)
        self.audio_proj = nn.Linear(audio_dims, embed_dims)
        self.visual_value_proj = nn.Linear(visual_dims, embed_dims)
        self.audio_value_proj = nn.Linear(audio_dims, embed_dims)
        self.visual_out_proj = nn.Linear(embed_dims, visual_dims)
        self.audio_out_proj = nn.Linear(embed_dims, audio_dims)
        self.dropout = nn.Dropout(dropout)

    def init_weights(self) -> None:
        """Initialize all projections with Xavier's uniform distribution."""
        for module in self.children():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def attention(self, visual: Tensor, audio: Tensor) -> Tensor:
        """Weigh the pixels of each frame by their likeness to its sound.

        Args:
            visual (Tensor): Pixels with their positions, ``[B, P, C]``.
            audio (Tensor): Sounds with their position, ``[B, D]``.

        Returns:
            Tensor: ``[B, heads, P]``, float32 or finer, of sum 1 over the
            pixels.
        """
        key = self.audio_proj(audio).unflatten(-1, self.heads)
        key = key * self.heads[1] ** -0.5  # [B, heads, d]
        weight = self.visual_proj.weight.unflatten(0, self.heads)
        bias = self.visual_proj.bias.unflatten(0, self.heads)
        folded = torch.einsum('bhd,hdc->bhc', key, weight)
        logits = folded @ visual.mT + (key * bias).sum(-1, keepdim=True)
        precise = torch.promote_types(logits.dtype, torch.float32)
        return logits.to(precise).clamp(-MAX_LOGIT, MAX_LOGIT).softmax(-1)

    def forward(
        self,
        visual: Tensor,
        audio: Tensor,
        visual_pos: Tensor,
        audio_pos: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Attend in both directions.

        Args:
            visual (Tensor): Pixels, ``[B, P, C]``.
            audio (Tensor): Sounds, ``[B, D]``.
            visual_pos (Tensor): Positions of the pixels, ``[1 or B, P, C]``.
            audio_pos (Tensor): Position of the sounds, ``[1 or B, D]``.

        Returns:
            tuple[Tensor, Tensor]: What the pixels take from the sound,
            ``[B, P, C]``, and what the sound takes from the pixels,
            ``[B, D]``.
        """
        weights = self.attention(visual + visual_pos, audio + audio_pos)
        weights = weights.to(visual.dtype)
        # 1. from the sound to the pixels
        value = self.audio_value_proj(audio).unflatten(-1, self.heads)
        out = self.visual_out_proj.weight.unflatten(1, self.heads)
        folded = torch.einsum('bhd,chd->bhc', value, out)
        to_visual = self.dropout(weights).mT @ folded
        to_visual = to_visual + self.visual_out_proj.bias
        # 2. from the pixels to the sound
        shares = self.dropout(weights)
        pooled = shares @ visual  # [B, heads, C]
        project = self.visual_value_proj
        value = torch.einsum(
            'bhc,hdc->bhd', pooled, project.weight.unflatten(0, self.heads)
        )
        value = value + shares.sum(-1, keepdim=True) * project.bias.unflatten(
            0, self.heads
        )
        return to_visual, self.audio_out_proj(value.flatten(1))


@MODELS.register_module()
class BilateralFusion(BaseModule):
    """Fuses the mask feature of each frame with its sound, and vice versa.

    Both are normalized first, and what attention finds is added to the
    normalized values, scaled channel by channel.

    Args:
        visual_dims (int): Channels of the mask feature, C.
        audio_dims (int): Channels of the embedding of the sound, D.
        embed_dims (int): Channels of the attention.
        num_heads (int): Heads of the attention.
        dropout (float): Rate at which attention weights are dropped.
        layer_scale (float): Scales at the start of the training.
        init_cfg (dict, optional): Initialization, see mmengine's BaseModule.
    """

    def __init__(
        self,
        *,
        visual_dims: int = 256,
        audio_dims: int = 128,
        embed_dims: int = 256,
        num_heads: int = 8,
        dropout: float = 0.1,
        layer_scale: float = 1e-4,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.position = SinePositionalEncoding(
            num_feats=visual_dims // 2, normalize=True
        )
        self.level_embed = nn.Embedding(1, visual_dims)
        self.audio_pos_embed = nn.Embedding(1, audio_dims)
        self.visual_norm = nn.LayerNorm(visual_dims)
        self.audio_norm = nn.LayerNorm(audio_dims)
        self.attention = BilateralAttention(
            visual_dims=visual_dims,
            audio_dims=audio_dims,
            embed_dims=embed_dims,
            num_heads=num_heads,
            dropout=dropout,
        )
        self.visual_scale = nn.Parameter(
            torch.full((visual_dims,), layer_scale)
        )
        self.audio_scale = nn.Parameter(torch.full((audio_dims,), layer_scale))

    def init_weights(self) -> None:
        """Initialize the attention."""
        super().init_weights()
        self.attention.init_weights()

    def forward(
        self, mask_feature: Tensor, embedding: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Fuse.

        Args:
            mask_feature (Tensor): ``[B, C, h, w]``.
            embedding (Tensor): Embedding of the sounds, ``[B, D]``.

        Returns:
            tuple[Tensor, Tensor]: The same shapes, fused.
        """
        size = mask_feature.shape[-2:]
        visual = mask_feature.flatten(2).mT + self.level_embed.weight
        visual = self.visual_norm(visual)  # [B, h * w, C]
        audio = self.audio_norm(embedding)
        position = encode_position(self.position, mask_feature[:1])
        to_visual, to_audio = self.attention(
            visual,
            audio,
            position.flatten(2).mT,
            self.audio_pos_embed.weight,
        )
        visual = visual + self.visual_scale * to_visual
        audio = audio + self.audio_scale * to_audio
        return visual.mT.unflatten(2, size), audio
