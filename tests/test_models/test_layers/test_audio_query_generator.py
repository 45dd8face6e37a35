import pytest
import torch

from mmcpm.models.layers import AudioQueryGenerator

ATTENTION = dict(
    embed_dims=16, num_heads=4, dropout_layer=None, batch_first=True
)


def make(num_layers=2, bias=False, **attention):
    torch.manual_seed(0)
    attention = dict(ATTENTION, bias=bias, **attention)
    generator = AudioQueryGenerator(
        num_layers=num_layers,
        layer_cfg=dict(
            self_attn_cfg=attention,
            cross_attn_cfg=attention,
            ffn_cfg=dict(
                embed_dims=16,
                feedforward_channels=32,
                act_cfg=dict(type='GELU'),
            ),
        ),
    )
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return generator.double()


def attend(attention, query, key):
    """Multi-head attention, head by head."""
    bias = attention.in_proj_bias
    bias = [0] * 3 if bias is None else bias.chunk(3)
    q, k, v = (
        x @ w.T + b
        for x, w, b in zip(
            (query, key, key),
            attention.in_proj_weight.chunk(3),
            bias,
            strict=True,
        )
    )
    heads = [
        ((a @ b.T) / a.shape[1] ** 0.5).softmax(-1) @ c
        for a, b, c in zip(
            *(x.chunk(attention.num_heads, 1) for x in (q, k, v)), strict=True
        )
    ]
    out = torch.cat(heads, 1) @ attention.out_proj.weight.T
    if attention.out_proj.bias is not None:
        out = out + attention.out_proj.bias
    return out


def generate(generator, query, audio):
    """Queries of one sound, by the formulas."""
    for layer in generator.layers:
        own = attend(layer.self_attn.attn, query, query)
        query = layer.norms[0](query + own)
        other = attend(layer.cross_attn.attn, query, audio)
        query = layer.norms[1](query + other)
        first, second = layer.ffn.layers[0][0], layer.ffn.layers[1]
        hidden = query @ first.weight.T + first.bias
        hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
        query = layer.norms[2](query + hidden @ second.weight.T + second.bias)
    return query


@pytest.mark.parametrize('bias', [False, True])
@pytest.mark.parametrize('tokens', [1, 3])
def test_formulas(bias, tokens):
    """One token takes a short cut, and several do not: both are exact."""
    generator = make(bias=bias)
    query = torch.randn(5, 16).double()
    audio = torch.randn(2, tokens, 16).double()
    expected = torch.stack([generate(generator, query, a) for a in audio])
    torch.testing.assert_close(generator(query[None], audio), expected)
    # Queries of each sound, where the table is repeated, give the same.
    torch.testing.assert_close(
        generator(query.expand(2, -1, -1), audio), expected
    )


def test_one_token_has_the_gradients_of_attention():
    generator = make()
    audio = torch.randn(2, 1, 16).double()
    query = torch.randn(1, 5, 16).double()
    grads = []
    for tokens in (audio, audio.expand(-1, 2, -1)):
        generator.zero_grad()
        generator(query, tokens).square().sum().backward()
        grads.append([p.grad.clone() for p in generator.parameters()])
    # Two equal tokens share the weight: the result is that of one.
    for one, two in zip(*grads, strict=True):
        torch.testing.assert_close(one, two)


def test_dropout_is_drawn_for_each_query():
    generator = make(num_layers=1, attn_drop=0.0, proj_drop=0.5)
    layer = generator.layers[0].train()
    for drop in (layer.self_attn.proj_drop, layer.ffn):
        drop.eval()
    query = torch.ones(1, 30, 16).double()
    out = layer(query, torch.randn(1, 1, 16).double())
    assert (out - out[:, :1]).abs().max() > 0.1
    out = layer.eval()(query, torch.randn(1, 1, 16).double())
    assert (out - out[:, :1]).abs().max() < 1e-12
