"""Mask2Former's masked attention: queries attend within their own masks."""

from collections.abc import Callable, Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ..utils.query_predictions import PixelDecoderOutput
from .mask_position import encode_position


def flatten_levels(
    levels: Sequence[Tensor],
    projections: Sequence[nn.Module],
    level_embed: Tensor,
    encoding: nn.Module,
) -> tuple[list[Tensor], list[Tensor], list[tuple[int, int]]]:
    """Turn maps into the keys that queries attend to.

    Args:
        levels (Sequence[Tensor]): Maps, coarse to fine, ``[B, C, h, w]``.
        projections (Sequence[nn.Module]): Projection of each level.
        level_embed (Tensor): Added to the keys of each level, ``[L, C]``.
        encoding (nn.Module): mmdet's SinePositionalEncoding.

    Returns:
        tuple[list[Tensor], list[Tensor], list[tuple[int, int]]]: Keys and
        their positional encodings, ``[B, h * w, C]``, and (h, w).
    """
    keys, positions, sizes = [], [], []
    for index, level in enumerate(levels):
        key = projections[index](level).flatten(2).transpose(1, 2)
        keys.append(key + level_embed[index])
        position = encode_position(encoding, level)
        positions.append(position.flatten(2).transpose(1, 2))
        sizes.append(tuple(level.shape[-2:]))
    return keys, positions, sizes


@torch.no_grad()
def resize_to_levels(
    feature: Tensor, sizes: Sequence[tuple[int, int]]
) -> list[Tensor]:
    """Resize a mask feature to the levels that queries attend to.

    Resizing commutes with the product that makes a mask: the products of mask
    embeddings with the result are masks of the size of a level.

    Args:
        feature (Tensor): ``[B, C, H, W]``.
        sizes (Sequence[tuple[int, int]]): (h, w) of the levels.

    Returns:
        list[Tensor]: ``[B, C, h * w]``, without gradient.
    """
    return [
        F.interpolate(
            feature, size, mode='bilinear', align_corners=False
        ).flatten(2)
        for size in sizes
    ]


@torch.no_grad()
def outside_masks(embedding: Tensor, feature: Tensor) -> Tensor:
    """Tell which pixels lie outside the mask of a query.

    Args:
        embedding (Tensor): Mask embeddings, ``[B, T, C]``.
        feature (Tensor): Mask feature, ``[B, C, h * w]``.

    Returns:
        Tensor: ``[B, T, h * w]`` bool. A query whose mask is empty attends
        everywhere instead: its values are False.
    """
    outside = embedding @ feature < 0
    outside &= ~outside.all(dim=-1, keepdim=True)
    return outside


def attend_within_masks(
    decoder: nn.Module,
    query: Tensor,
    query_pos: Tensor,
    pixels: PixelDecoderOutput,
    embed_masks: Callable[[Tensor, PixelDecoderOutput], Tensor],
    self_attn_mask: Tensor | None = None,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Run the layers of a decoder, each on the next level of the image.

    Args:
        decoder (nn.Module): mmdet's Mask2FormerTransformerDecoder, of which
            the layers and the last normalization are used.
        query (Tensor): ``[B, T, C]``.
        query_pos (Tensor): ``[B, T, C]``.
        pixels (PixelDecoderOutput): Features of the images.
        embed_masks (Callable): From normalized queries and ``pixels`` to
            mask embeddings, both ``[B, T, C]``.
        self_attn_mask (Tensor, optional): ``[B, T, T]`` bool, True where a
            query may not see another.

    Returns:
        tuple[Tensor, list[Tensor], list[Tensor]]: Queries after the last
        layer; normalized queries and mask embeddings before the first and
        after every layer.
    """
    features = resize_to_levels(pixels.mask_feature, pixels.sizes)
    states = [decoder.post_norm(query)]
    embeddings = [embed_masks(states[0], pixels)]
    for index, layer in enumerate(decoder.layers):
        level = index % len(pixels.keys)
        query = layer(
            query=query,
            key=pixels.keys[level],
            value=pixels.keys[level],
            query_pos=query_pos,
            key_pos=pixels.positions[level],
            self_attn_mask=self_attn_mask,
            cross_attn_mask=outside_masks(embeddings[-1], features[level]),
        )
        states.append(decoder.post_norm(query))
        embeddings.append(embed_masks(states[-1], pixels))
    return query, states, embeddings
