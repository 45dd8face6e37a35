"""AVSegFormer's query generator: queries that attend to one audio token.

Gao et al., "AVSegFormer: Audio-Visual Segmentation with Transformer", AAAI
2024 (https://arxiv.org/abs/2307.01146).
"""

import copy

import torch.nn as nn
import torch.nn.functional as F
from mmdet.models.layers import DetrTransformerDecoderLayer
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor

from ..ops.attention import replace_attention


def attend_to_one(attention: nn.MultiheadAttention, token: Tensor) -> Tensor:
    """Attend to a single token: whatever the query, its weight is 1.

    Args:
        attention (nn.MultiheadAttention): Without dropout.
        token (Tensor): ``[B, 1, C]``.

    Returns:
        Tensor: What every query gets, ``[B, 1, C]``.
    """
    bias = attention.in_proj_bias
    value = F.linear(
        token,
        attention.in_proj_weight.chunk(3)[2],
        None if bias is None else bias.chunk(3)[2],
    )
    return attention.out_proj(value)


class AudioQueryLayer(DetrTransformerDecoderLayer):
    """Self-attention, attention to the audio, feed-forward; norms after each.

    Args:
        **kwargs: Arguments of mmdet's DetrTransformerDecoderLayer.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        drops = [
            module.p
            for module in self.cross_attn.modules()
            if isinstance(module, nn.Dropout)
        ]
        self.drops = any([*drops, self.cross_attn.attn.dropout])

    def forward(self, query: Tensor, audio: Tensor) -> Tensor:
        """Attend.

        Args:
            query (Tensor): ``[1 or B, N, C]``.
            audio (Tensor): ``[B, tokens, C]``.

        Returns:
            Tensor: ``[B, N, C]``.
        """
        query = self.norms[0](self.self_attn(query, query, query))
        if audio.shape[1] == 1 and not (self.training and self.drops):
            query = query + attend_to_one(self.cross_attn.attn, audio)
        else:
            query = query.expand(len(audio), -1, -1)
            query = self.cross_attn(query, audio, audio)
        return self.norms[2](self.ffn(self.norms[1](query)))


@MODELS.register_module()
class AudioQueryGenerator(BaseModule):
    """Lets queries attend to global audio tokens, before any image.

    Attention to one token gives all queries the same vector: the audio shifts
    the queries, and their self-attention tells them apart.

    Args:
        num_layers (int): Layers.
        layer_cfg (dict): Arguments of mmdet's DetrTransformerDecoderLayer.
    """

    def __init__(self, *, num_layers: int = 6, layer_cfg: dict) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            AudioQueryLayer(**copy.deepcopy(layer_cfg))
            for _ in range(num_layers)
        )
        self.embed_dims = self.layers[0].embed_dims
        replace_attention(self)

    def init_weights(self) -> None:
        """Initialize as the original does, by Xavier's uniform values."""
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, query: Tensor, audio: Tensor) -> Tensor:
        """Generate the queries of each sound.

        Args:
            query (Tensor): Queries of all sounds, ``[1, N, C]``, or of each,
                ``[B, N, C]``.
            audio (Tensor): Audio tokens, ``[B, tokens, C]``.

        Returns:
            Tensor: ``[B, N, C]``.
        """
        for layer in self.layers:
            query = layer(query, audio)
        return query
