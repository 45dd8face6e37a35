import pytest
import torch
import torch.nn.functional as F
from mmdet.models.layers import SinePositionalEncoding

from mmcpm.models.layers.audio_query_mlp import AudioQueryMLP
from mmcpm.models.layers.bilateral_fusion import (
    BilateralAttention,
    BilateralFusion,
)


@pytest.fixture
def fusion():
    """A small fusion without a single parameter that is zero."""
    torch.manual_seed(0)
    fusion = BilateralFusion(
        visual_dims=8, audio_dims=6, embed_dims=12, num_heads=3
    )
    fusion.init_weights()
    for parameter in fusion.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return fusion.eval()


def plain_fusion(fusion, feature, embedding):
    """COMBO's fusion head by head and frame by frame, in float64."""
    fusion, own = fusion.double(), fusion.attention
    channels, height, width = feature.shape[1:]
    position = SinePositionalEncoding(num_feats=channels // 2, normalize=True)
    position = position(torch.zeros(1, height, width, dtype=torch.bool))
    position = position[0].flatten(1).T.double()
    heads, dims = own.heads
    fused = []
    for image, sound in zip(feature.double(), embedding.double(), strict=True):
        pixels = image.flatten(1).T + fusion.level_embed.weight[0]
        pixels, sound = fusion.visual_norm(pixels), fusion.audio_norm(sound)
        query = own.visual_proj(pixels + position)
        key = own.audio_proj(sound + fusion.audio_pos_embed.weight[0])
        pixel_value = own.visual_value_proj(pixels)
        sound_value = own.audio_value_proj(sound)
        to_pixels, to_sound = [], []
        for head in range(heads):
            part = slice(head * dims, (head + 1) * dims)
            logits = query[:, part] @ key[part] / dims**0.5
            weights = logits.exp() / logits.exp().sum()
            to_pixels.append(torch.outer(weights, sound_value[part]))
            to_sound.append(weights @ pixel_value[:, part])
        to_pixels = own.visual_out_proj(torch.cat(to_pixels, 1))
        to_sound = own.audio_out_proj(torch.cat(to_sound))
        pixels = pixels + fusion.visual_scale * to_pixels
        sound = sound + fusion.audio_scale * to_sound
        fused.append((pixels.T.reshape(channels, height, width), sound))
    return [torch.stack(parts) for parts in zip(*fused, strict=True)]


def test_fusion_is_the_plain_formula(fusion):
    feature, embedding = torch.randn(2, 8, 5, 4), torch.randn(2, 6)
    found = fusion(feature, embedding)
    expected = plain_fusion(fusion, feature, embedding)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(
            one, other.to(one.dtype), rtol=1e-5, atol=1e-5
        )


def test_weights_are_shared_out_over_the_pixels(fusion):
    weights = fusion.attention.attention(
        torch.randn(2, 20, 8), torch.randn(2, 6)
    )
    assert weights.shape == (2, 3, 20)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3))


def test_every_parameter_is_taught(fusion):
    feature, embedding = fusion(torch.randn(2, 8, 5, 4), torch.randn(2, 6))
    (feature.square().sum() + embedding.square().sum()).backward()
    assert all(p.grad is not None for p in fusion.parameters())
    # A constant in all logits of a frame changes no softmax.
    bias = fusion.attention.visual_proj.bias.grad
    assert bias.abs().max() < 1e-4
    assert all(
        p.grad.any()
        for name, p in fusion.named_parameters()
        if name != 'attention.visual_proj.bias'
    )


def test_dropped_weights_keep_the_bias_in_proportion():
    """With constant pixels the sound takes them times the weights kept."""
    torch.manual_seed(0)
    attention = BilateralAttention(
        visual_dims=4, audio_dims=4, embed_dims=4, num_heads=1, dropout=0.5
    )
    pixels, sound = torch.ones(1, 50, 4), torch.randn(1, 4)
    torch.manual_seed(1)
    _, found = attention(pixels, sound, torch.zeros(4), torch.zeros(4))
    torch.manual_seed(1)
    uniform = torch.full((1, 1, 50), 1 / 50)
    F.dropout(uniform, 0.5)
    kept = F.dropout(uniform, 0.5).sum()
    value = attention.visual_value_proj(pixels[0, 0]) * kept
    torch.testing.assert_close(found[0], attention.audio_out_proj(value))


def test_starts_as_normalization_alone():
    fusion = BilateralFusion(visual_dims=8, audio_dims=6, embed_dims=8)
    feature, embedding = torch.randn(2, 8, 5, 4), torch.randn(2, 6)
    fused, audio = fusion(feature, embedding)
    expected = F.layer_norm(
        feature.flatten(2).mT + fusion.level_embed.weight, (8,)
    )
    assert (fused.flatten(2).mT - expected).abs().max() < 1e-3
    assert (audio - F.layer_norm(embedding, (6,))).abs().max() < 1e-3


def test_heads_must_share_the_channels_out():
    with pytest.raises(ValueError, match='multiple of num_heads=3'):
        BilateralAttention(
            visual_dims=8, audio_dims=6, embed_dims=8, num_heads=3
        )


def test_all_queries_of_a_frame_get_its_sound():
    mlp = AudioQueryMLP(in_channels=3, hidden_channels=5, out_channels=4)
    query, audio = torch.randn(2, 7, 4), torch.randn(2, 3)
    own = mlp(query, query, audio)
    torch.testing.assert_close(own[1, 6], query[1, 6] + mlp.mlp(audio[1]))
    source = torch.ones(2, 7, dtype=torch.long)
    of_the_other = mlp(query, query, audio, source)
    torch.testing.assert_close(
        of_the_other[0, 2], query[0, 2] + mlp.mlp(audio[1])
    )
