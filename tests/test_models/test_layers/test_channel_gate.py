import pytest
import torch

from mmcpm.models.layers.channel_gate import ChannelGate


def slow_gate(gate, token, feature):
    """Attention of one token to all pixels, pixel by pixel projected."""
    channels = feature.shape[0]
    pixels = feature.reshape(channels, -1).T  # [h * w, C]
    query = gate.q_proj.weight @ token[0]
    both = pixels @ gate.kv_proj.weight.T
    attended = []
    width = channels // gate.num_heads
    for head in range(gate.num_heads):
        part = slice(head * width, (head + 1) * width)
        keys, values = both[:, :channels][:, part], both[:, channels:][:, part]
        weights = (keys @ query[part] / width**0.5).softmax(0)
        attended.append(weights @ values)
    return gate.proj(torch.cat(attended)).sigmoid()


def test_equals_attention_with_projected_pixels():
    torch.manual_seed(0)
    gate = ChannelGate(24, num_heads=3).double()
    token = 3 * torch.randn(2, 1, 24).double()
    feature = torch.randn(2, 24, 5, 7).double()
    expected = torch.stack(
        [slow_gate(gate, *both) for both in zip(token, feature, strict=True)]
    )
    found = gate(token, feature)
    assert found.shape == (2, 24)
    torch.testing.assert_close(found, expected)


def test_heads_that_do_not_fit():
    with pytest.raises(ValueError, match='multiple of num_heads.*20 and 8'):
        ChannelGate(20, num_heads=8)
