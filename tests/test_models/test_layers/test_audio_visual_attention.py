"""Sigmoid attention to one token, against loops over pixels and heads."""

import math

import pytest
import torch
import torch.nn.functional as F

from mmcpm.models.layers.audio_visual_attention import AudioVisualAttention


@pytest.fixture
def block():
    torch.manual_seed(0)
    block = AudioVisualAttention(
        embed_dims=12, audio_dims=5, num_heads=3, mlp_ratio=2
    )
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return block.double()


def slow(block, pixels, embedding):
    """The paper's order: every projection at every pixel."""
    width = block.embed_dims // block.num_heads
    v = block.norm1(block.image_embed(pixels))
    a = block.norm1(block.audio_embed(embedding))
    out, weights = [], []
    for image, token in zip(v, a, strict=True):
        key, value = block.key.weight @ token, block.value.weight @ token
        for pixel in image:
            query = block.query.weight @ pixel
            heads = []
            for head in range(block.num_heads):
                part = slice(head * width, (head + 1) * width)
                logit = query[part] @ key[part] / math.sqrt(width)
                share = 1 / (1 + math.exp(-logit.item()))
                weights.append(share)
                heads.append(share * value[part])
            attended = block.proj.weight @ torch.cat(heads) + block.proj.bias
            x = pixel + attended
            x = x + block.fc2(F.gelu(block.fc1(block.norm2(x))))
            out.append(block.norm(x))
    return torch.stack(out).view_as(v), weights


def test_formula_in_loops(block):
    pixels = torch.randn(2, 4, 12, dtype=torch.float64)
    sound = torch.randn(2, 5, dtype=torch.float64)
    expected, shares = slow(block, pixels, sound)
    image, audio = block.encode_image(pixels), block.encode_audio(sound)
    torch.testing.assert_close(block(image, audio), expected)
    weights = block.attention_weights(image, audio)
    assert weights.shape == (2, 4, 3)
    torch.testing.assert_close(
        weights.flatten(), torch.tensor(shares, dtype=torch.float64)
    )


def test_every_parameter_is_used(block):
    image = block.encode_image(torch.randn(2, 4, 12).double())
    audio = block.encode_audio(torch.randn(2, 5).double())
    block(image, audio).square().sum().backward()
    assert all(p.grad.any() for p in block.parameters())


def test_heads_must_divide_the_channels():
    with pytest.raises(ValueError, match='multiple of num_heads=5'):
        AudioVisualAttention(embed_dims=12, audio_dims=5, num_heads=5)
