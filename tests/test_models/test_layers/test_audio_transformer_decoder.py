import pytest
import torch

from mmcpm.models.layers import AudioTransformerDecoder

ATTENTION = dict(
    embed_dims=16,
    num_heads=2,
    attn_drop=0.0,
    proj_drop=0.0,
    dropout_layer=None,
    batch_first=True,
)
LAYER = dict(
    self_attn_cfg=ATTENTION,
    cross_attn_cfg=ATTENTION,
    ffn_cfg=dict(
        embed_dims=16,
        feedforward_channels=32,
        num_fcs=2,
        act_cfg=dict(type='ReLU', inplace=True),
        ffn_drop=0.0,
        dropout_layer=None,
        add_identity=True,
    ),
)


def build(**kwargs):
    torch.manual_seed(0)
    decoder = AudioTransformerDecoder(
        layer_cfg=LAYER,
        positional_encoding=dict(num_feats=8, normalize=True),
        **kwargs,
    )
    decoder.init_weights()
    return decoder


def pyramid(batch=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(batch, 16, t, f, generator=generator)
        for t, f in ((3, 8), (6, 16), (12, 32))
    ]


def test_shapes_and_gradients():
    decoder = build()
    query = torch.randn(2, 5, 16, requires_grad=True)
    levels = [level.requires_grad_() for level in pyramid()]
    output = decoder(query, torch.randn(2, 5, 16), levels)
    assert output.shape == (2, 5, 16)
    output.square().sum().backward()
    assert query.grad.abs().sum() > 0
    assert all(level.grad.abs().sum() > 0 for level in levels)
    assert all(p.grad is not None for p in decoder.parameters())


def test_tokens_are_level_plus_embedding_in_row_order():
    decoder = build()
    levels = pyramid(batch=1)
    tokens, positions = decoder.tokens(levels)[1]
    assert tokens.shape == positions.shape == (1, 6 * 16, 16)
    time, frequency = 4, 11
    torch.testing.assert_close(
        tokens[0, time * 16 + frequency],
        levels[1][0, :, time, frequency] + decoder.level_embed.weight[1],
    )


@pytest.mark.parametrize('prompts', [False, True])
def test_layers_hear_the_levels_in_turn(prompts):
    """Coarse to fine, and again from the begin."""
    decoder = build(num_layers=4)
    keys = []
    for layer in decoder.layers:
        layer.cross_attn.register_forward_pre_hook(
            lambda module, args, kwargs: keys.append(kwargs['key']),
            with_kwargs=True,
        )
    query, levels, mixed = torch.randn(2, 5, 16), pyramid(), pyramid(seed=1)
    if prompts:
        mask = torch.zeros(4, 5, 5, dtype=torch.bool)
        decoder.forward_with_prompts(query, query, levels, mixed, 3, mask)
    else:
        decoder(query, query, levels)
    expected = [
        sound[index].flatten(2).transpose(1, 2)
        + decoder.level_embed.weight[index]
        for index in (0, 1, 2, 0)
        for sound in ((levels, mixed) if prompts else (levels,))
    ]
    assert len(keys) == len(expected)
    for key, wanted in zip(keys, expected, strict=True):
        assert torch.equal(key, wanted)


def test_time_and_frequency_are_told_apart():
    """The same spectrum elsewhere in time or frequency is another sound."""
    decoder = build()
    query, query_pos = torch.randn(1, 4, 16), torch.randn(1, 4, 16)
    levels = pyramid(batch=1)
    base = decoder(query, query_pos, levels)
    for axis in (2, 3):
        rolled = [level.roll(1, dims=axis) for level in levels]
        assert (decoder(query, query_pos, rolled) - base).abs().max() > 1e-3


def test_batch_entries_do_not_mix():
    decoder = build()
    query, query_pos = torch.randn(2, 4, 16), torch.randn(2, 4, 16)
    levels = pyramid()
    both = decoder(query, query_pos, levels)
    for i in range(2):
        alone = decoder(
            query[i : i + 1],
            query_pos[i : i + 1],
            [level[i : i + 1] for level in levels],
        )
        torch.testing.assert_close(both[i : i + 1], alone)


def test_masked_queries_do_not_see_each_other():
    decoder = build()
    query, query_pos = torch.randn(1, 4, 16), torch.randn(1, 4, 16)
    mask = torch.zeros(2, 4, 4, dtype=torch.bool)
    mask[:, :3, 3] = True  # the first three never see the last
    changed = query.clone()
    changed[:, 3] += 5
    levels = pyramid(batch=1)
    first = decoder(query, query_pos, levels, mask)
    second = decoder(changed, query_pos, levels, mask)
    torch.testing.assert_close(first[:, :3], second[:, :3], rtol=0, atol=0)
    assert (first[:, 3] - second[:, 3]).abs().max() > 1e-3


def test_as_many_queries_as_tokens():
    """Attention must not take the queries' positions for the keys'."""
    decoder = build(num_layers=1, num_levels=1)
    level = torch.randn(1, 16, 2, 2)
    query = torch.randn(1, 4, 16)
    first = decoder(query, torch.zeros(1, 4, 16), [level])
    torch.manual_seed(1)
    # With one key only its position cannot matter; with four it must.
    decoder.positional_encoding.forward = lambda mask: torch.randn(1, 16, 2, 2)
    second = decoder(query, torch.zeros(1, 4, 16), [level])
    assert (first - second).abs().max() > 1e-4


def test_wrong_number_of_levels():
    with pytest.raises(ValueError, match='Expected 3 audio levels.*got 2'):
        build()(torch.zeros(1, 4, 16), torch.zeros(1, 4, 16), pyramid()[:2])


def test_levels_without_a_layer_are_refused():
    with pytest.raises(ValueError, match='num_layers.*num_levels'):
        build(num_layers=2, num_levels=3)
