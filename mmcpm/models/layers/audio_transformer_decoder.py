"""TD-A: the transformer decoder in which queries attend to the audio.

CPM, Section 3.1: queries attend to the audio before they attend to the image,
so that what they look for in the image depends on the sound. The layers are
Mask2Former's own (cross-attention, self-attention, feed-forward), one per
audio level from coarse to fine, without a mask on the audio.
"""

import copy

import torch
import torch.nn as nn
from mmdet.models.layers import SinePositionalEncoding
from mmdet.models.layers.transformer.mask2former_layers import (
    Mask2FormerTransformerDecoderLayer,
)
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class AudioTransformerDecoder(BaseModule):
    """Lets queries attend to a pyramid of audio features.

    Args:
        num_layers (int): Layers; layer i attends to level
            ``i % num_levels``, coarsest first.
        num_levels (int): Levels of the audio pyramid.
        layer_cfg (dict): Arguments of mmdet's Mask2Former decoder layer.
        positional_encoding (dict): Arguments of mmdet's
            SinePositionalEncoding; time is its vertical axis and frequency
            its horizontal one.
    """

    def __init__(
        self,
        *,
        num_layers: int = 3,
        num_levels: int = 3,
        layer_cfg: dict,
        positional_encoding: dict,
    ) -> None:
        super().__init__()
        if num_layers < num_levels:
            raise ValueError(
                'num_layers must be at least num_levels, otherwise a level is '
                f'never used, but got {num_layers} and {num_levels}.'
            )
        self.layers = nn.ModuleList(
            Mask2FormerTransformerDecoderLayer(**copy.deepcopy(layer_cfg))
            for _ in range(num_layers)
        )
        self.embed_dims = self.layers[0].embed_dims
        self.num_levels = num_levels
        self.level_embed = nn.Embedding(num_levels, self.embed_dims)
        self.positional_encoding = SinePositionalEncoding(
            **positional_encoding
        )

    def init_weights(self) -> None:
        """Initialize as Mask2Former does its visual decoder."""
        for parameter in self.layers.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_normal_(parameter)

    def tokens(self, audio_levels: list[Tensor]) -> list[tuple[Tensor, ...]]:
        """Flatten an audio pyramid into keys and their positions.

        Args:
            audio_levels (list[Tensor]): ``num_levels`` maps, coarse to fine,
                each ``[B, C, t, f]``.

        Returns:
            list[tuple[Tensor, Tensor]]: Per level the tokens and their
            positional encodings, both ``[B, t * f, C]``.
        """
        if len(audio_levels) != self.num_levels:
            raise ValueError(
                f'Expected {self.num_levels} audio levels, but '
                f'got {len(audio_levels)}.'
            )
        tokens = []
        for level, embed in zip(
            audio_levels, self.level_embed.weight, strict=True
        ):
            mask = level.new_zeros(
                (level.shape[0], *level.shape[-2:])
            ).bool()  # [B, t, f]
            position = self.positional_encoding(mask)  # [B, C, t, f]
            tokens.append(
                (
                    level.flatten(2).transpose(1, 2) + embed,
                    position.flatten(2).transpose(1, 2),
                )
            )
        return tokens

    def forward(
        self,
        query: Tensor,
        query_pos: Tensor,
        audio_levels: list[Tensor],
        self_attn_mask: Tensor | None = None,
    ) -> Tensor:
        """Let the queries attend to the audio.

        Args:
            query (Tensor): ``[B, N, C]``.
            query_pos (Tensor): ``[B, N, C]``.
            audio_levels (list[Tensor]): Coarse to fine, ``[B, C, t, f]``.
            self_attn_mask (Tensor, optional): ``[B * heads, N, N]`` bool,
                True where a query may not see another.

        Returns:
            Tensor: Audio queries, ``[B, N, C]``.
        """
        groups = [(query.shape[1], self.tokens(audio_levels))]
        return self._decode(query, query_pos, groups, self_attn_mask)

    def forward_with_prompts(
        self,
        query: Tensor,
        query_pos: Tensor,
        audio_levels: list[Tensor],
        prompt_audio_levels: list[Tensor],
        num_queries: int,
        self_attn_mask: Tensor,
    ) -> Tensor:
        """Let queries and prompts attend to an audio of their own.

        Args:
            query (Tensor): Queries, then prompts, ``[B, N + K, C]``.
            query_pos (Tensor): ``[B, N + K, C]``.
            audio_levels (list[Tensor]): Levels for the queries.
            prompt_audio_levels (list[Tensor]): Levels for the prompts.
            num_queries (int): N.
            self_attn_mask (Tensor): ``[B * heads, N + K, N + K]`` bool.

        Returns:
            Tensor: ``[B, N + K, C]``.
        """
        tokens = self.tokens(audio_levels)
        prompt_tokens = (
            tokens
            if prompt_audio_levels is audio_levels
            else self.tokens(prompt_audio_levels)
        )
        groups = [
            (num_queries, tokens),
            (query.shape[1] - num_queries, prompt_tokens),
        ]
        return self._decode(query, query_pos, groups, self_attn_mask)

    def _decode(
        self,
        query: Tensor,
        query_pos: Tensor,
        groups: list[tuple[int, list[tuple[Tensor, Tensor]]]],
        self_attn_mask: Tensor | None,
    ) -> Tensor:
        """Apply the layers.

        Args:
            query (Tensor): ``[B, N, C]``.
            query_pos (Tensor): ``[B, N, C]``.
            groups (list[tuple]): Sizes of consecutive groups of queries, and
                the audio tokens of each, see :meth:`tokens`.
            self_attn_mask (Tensor, optional): See :meth:`forward`.

        Returns:
            Tensor: ``[B, N, C]``.
        """
        sizes = [size for size, _ in groups]
        for index, layer in enumerate(self.layers):
            attended = []
            for part, pos, (_, tokens) in zip(
                query.split(sizes, 1),
                query_pos.split(sizes, 1),
                groups,
                strict=True,
            ):
                key, key_pos = tokens[index % self.num_levels]
                # key_pos is always given: without it mmcv's attention takes
                # query_pos wherever the two happen to have one shape.
                attended.append(
                    layer.cross_attn(
                        query=part,
                        key=key,
                        value=key,
                        query_pos=pos,
                        key_pos=key_pos,
                    )
                )
            # The order of mmdet's layer: each part with its own norm.
            query = layer.norms[0](torch.cat(attended, 1))
            query = layer.self_attn(
                query=query,
                key=query,
                value=query,
                query_pos=query_pos,
                key_pos=query_pos,
                attn_mask=self_attn_mask,
            )
            query = layer.norms[2](layer.ffn(layer.norms[1](query)))
        return query
