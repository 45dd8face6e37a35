"""Parts of the masked attention; the whole is tested with its head."""

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from mmdet.models.layers import SinePositionalEncoding

from mmcpm.models.layers.masked_attention import (
    attend_within_masks,
    flatten_levels,
    outside_masks,
    resize_to_levels,
)
from mmcpm.models.utils.query_predictions import PixelDecoderOutput


def test_outside_by_hand():
    feature = torch.tensor([[[1.0, -2.0, 0.0], [0.0, 1.0, -1.0]]])
    queries = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [-9.0, -9.0]]])
    queries = torch.cat([queries, torch.tensor([[[-1.0, -3.0]]])], 1)
    # Products: 1 -2 0; 0 1 -1; -9 9 9; -1 -1 3.
    expected = [[[0, 1, 0], [0, 0, 1], [1, 0, 0], [1, 1, 0]]]
    assert outside_masks(queries, feature).int().tolist() == expected


def test_a_query_without_a_mask_attends_everywhere():
    feature = torch.ones(1, 2, 5)
    outside = outside_masks(torch.tensor([[[-1.0, -1.0]]]), feature)
    assert outside.tolist() == [[[False] * 5]]


def test_resizing_commutes_with_the_product():
    torch.manual_seed(0)
    feature = torch.randn(2, 4, 8, 12, requires_grad=True)
    embedding = torch.randn(2, 3, 4)
    masks = torch.einsum('bnc,bchw->bnhw', embedding, feature)
    sizes = [(2, 3), (4, 6)]
    levels = resize_to_levels(feature, sizes)
    assert not any(level.requires_grad for level in levels)
    for size, level in zip(sizes, levels, strict=True):
        expected = F.interpolate(masks, size, mode='bilinear')
        torch.testing.assert_close(embedding @ level, expected.flatten(2))


def test_levels_are_flattened_row_by_row():
    torch.manual_seed(0)
    levels = [torch.randn(2, 4, 2, 3), torch.randn(2, 4, 4, 6)]
    embed = torch.randn(2, 4)
    encoding = SinePositionalEncoding(2, normalize=True)
    keys, positions, sizes = flatten_levels(
        levels, [nn.Identity()] * 2, embed, encoding
    )
    assert sizes == [(2, 3), (4, 6)]
    for index, (level, (_, width)) in enumerate(
        zip(levels, sizes, strict=True)
    ):
        place = encoding(torch.zeros(2, *level.shape[-2:]).bool())
        for row, column in ((0, 1), (1, 2)):
            pixel = row * width + column
            assert torch.equal(
                keys[index][:, pixel], level[..., row, column] + embed[index]
            )
            assert torch.equal(
                positions[index][:, pixel], place[..., row, column]
            )


def test_layers_take_levels_in_turn():
    taken = []

    class Layer(nn.Module):
        def forward(self, query, key, cross_attn_mask, **kwargs):
            taken.append((key.shape[1], cross_attn_mask.shape[2]))
            return query + 1

    decoder = nn.Module()
    decoder.layers = nn.ModuleList(Layer() for _ in range(3))
    decoder.post_norm = nn.Identity()
    keys = [torch.zeros(1, pixels, 4) for pixels in (6, 24)]
    pixels = PixelDecoderOutput(
        torch.ones(1, 4, 8, 12), keys, keys, [(2, 3), (4, 6)]
    )
    query = torch.zeros(1, 5, 4)
    last, states, embeddings = attend_within_masks(
        decoder, query, query, pixels, lambda state, _: 2 * state
    )
    assert taken == [(6, 6), (24, 24), (6, 6)]
    assert [float(state.mean()) for state in states] == [0, 1, 2, 3]
    assert [float(each.mean()) for each in embeddings] == [0, 2, 4, 6]
    assert float(last.mean()) == pytest.approx(3)
