"""TPAVI's attention of rank T against the quadratic one of the paper."""

import pytest
import torch
import torch.nn.functional as F

from mmcpm.models.layers.tpavi import TPAVIBlock

CHANNELS, AUDIO = 12, 6


def quadratic(block, x, audio, num_frames):
    """The paper's formula: a matrix of all pixels of a clip by all."""
    results = []
    for start in range(0, len(x), num_frames):
        clip = x[start : start + num_frames]
        pixels = clip.movedim(1, -1).flatten(0, 2)  # [THW, C]
        sound = block.align(audio[start : start + num_frames])
        height, width = clip.shape[-2:]
        everywhere = sound[:, None, None].expand(-1, height, width, -1)
        keys = block.phi(everywhere).flatten(0, 2)
        weights = block.theta(pixels) @ keys.T / len(pixels)
        update = block.mu(weights @ block.g(pixels))
        results.append(update.view(num_frames, height, width, -1))
    update = torch.cat(results).movedim(-1, 1)
    update = F.batch_norm(
        update,
        block.bn.running_mean.clone(),
        block.bn.running_var.clone(),
        block.bn.weight,
        block.bn.bias,
        training=block.training,
    )
    mixed = (x + update).movedim(1, -1)
    return block.norm(mixed).movedim(-1, 1), block.align(audio)


@pytest.fixture
def block():
    torch.manual_seed(0)
    block = TPAVIBlock(CHANNELS, AUDIO)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter)
    return block


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('num_frames', [1, 2, 3])
def test_rank_of_the_clip_equals_the_quadratic_form(
    block, num_frames, training
):
    block.train(training)
    x, audio = torch.randn(6, CHANNELS, 5, 4), torch.rand(6, AUDIO)
    expected, sound = quadratic(block, x, audio, num_frames)
    found, aligned = block(x, audio, num_frames)
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.equal(aligned, sound)


def test_gradients_equal_those_of_the_quadratic_form(block):
    block.eval()
    x, audio = torch.randn(4, CHANNELS, 3, 3), torch.rand(4, AUDIO)
    weight = torch.randn(4, CHANNELS, 3, 3)
    gradients = []
    for function in (block, lambda *a: quadratic(block, *a)):
        block.zero_grad()
        (function(x, audio, 2)[0] * weight).sum().backward()
        gradients.append([p.grad.clone() for p in block.parameters()])
    for found, expected in zip(*gradients, strict=True):
        assert torch.allclose(found, expected, atol=1e-4, rtol=1e-4)


def test_a_new_block_adds_nothing():
    block = TPAVIBlock(CHANNELS, AUDIO)
    block.init_weights()
    x = torch.randn(2, CHANNELS, 3, 3)
    found, _ = block(x, torch.rand(2, AUDIO), 2)
    normalized = F.layer_norm(x.movedim(1, -1), (CHANNELS,)).movedim(-1, 1)
    assert torch.allclose(found, normalized, atol=1e-6)


def test_sounds_reach_the_frames_of_their_clip_only(block):
    block.eval()
    x, audio = torch.randn(4, CHANNELS, 3, 3), torch.rand(4, AUDIO)
    before, _ = block(x, audio, 2)
    audio[3] += 1
    after, _ = block(x, audio, 2)
    changed = (before != after).flatten(1).any(1)
    assert changed.tolist() == [False, False, True, True]
