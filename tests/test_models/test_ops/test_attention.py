import copy
import io

import pytest
import torch
import torch.nn as nn
from mmcv.cnn.bricks.transformer import MultiheadAttention
from mmdet.models.layers.transformer.mask2former_layers import (
    Mask2FormerTransformerDecoderLayer,
)

from mmcpm.models.ops.attention import SDPAttention, replace_attention

BATCH, QUERIES, KEYS, DIMS, HEADS = 3, 5, 7, 16, 4


def pair(**kwargs):
    """PyTorch's module, and a lean one with the same parameters."""
    torch.manual_seed(0)
    stock = nn.MultiheadAttention(DIMS, HEADS, **kwargs)
    for parameter in stock.parameters():
        nn.init.normal_(parameter, std=0.3)
    lean = copy.deepcopy(stock)
    assert replace_attention(lean) == 1
    assert type(lean) is SDPAttention and type(stock) is not SDPAttention
    return stock, lean


def inputs(batch_first):
    generator = torch.Generator().manual_seed(1)
    drawn = [
        torch.randn(BATCH, n, DIMS, generator=generator)
        for n in (QUERIES, KEYS, KEYS)
    ]
    if not batch_first:
        drawn = [tensor.transpose(0, 1) for tensor in drawn]
    return [tensor.contiguous().requires_grad_() for tensor in drawn]


def hidden(*shape, seed=2):
    """A mask that leaves every row something to see."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(shape, generator=generator) < 0.4
    mask[..., 3] = False
    return mask


def added(*shape):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(shape, generator=generator)


def per_head(mask):
    """A mask for all heads in the form that PyTorch takes."""
    return mask.repeat_interleave(HEADS, 0)


SHARED = (BATCH, QUERIES, KEYS)
# Masks of the lean module, and PyTorch's for the same.
MASKS = {
    'none': (None, None),
    'for all': (hidden(QUERIES, KEYS),) * 2,
    'per image': (hidden(*SHARED), per_head(hidden(*SHARED))),
    'per head': (hidden(BATCH * HEADS, QUERIES, KEYS),) * 2,
    'numbers for all': (added(QUERIES, KEYS),) * 2,
    'numbers per image': (added(*SHARED), per_head(added(*SHARED))),
    'numbers per head': (added(BATCH * HEADS, QUERIES, KEYS),) * 2,
}


def gradients(module, tensors, mask, padding):
    """Of inputs and parameters, in float64."""
    module = copy.deepcopy(module).double()
    tensors = [t.detach().double().requires_grad_() for t in tensors]
    mask, padding = (
        t.double() if t is not None and t.is_floating_point() else t
        for t in (mask, padding)
    )
    output, _ = module(*tensors, attn_mask=mask, key_padding_mask=padding)
    weights = torch.linspace(-1, 1, output.numel(), dtype=torch.float64)
    return torch.autograd.grad(
        (output * weights.view_as(output)).sum(),
        [*tensors, *module.parameters()],
    )


@pytest.mark.parametrize('batch_first', [True, False])
@pytest.mark.parametrize('padded', [True, False])
@pytest.mark.parametrize('name', MASKS)
def test_it_is_that_of_pytorch(name, padded, batch_first):
    stock, lean = pair(batch_first=batch_first)
    tensors = inputs(batch_first)
    padding = hidden(BATCH, KEYS, seed=4) if padded else None
    ours, theirs = MASKS[name]
    if theirs is not None and theirs.is_floating_point() and padded:
        # PyTorch wants both masks of one type.
        theirs_padding = torch.zeros(BATCH, KEYS).masked_fill(
            padding, -torch.inf
        )
    else:
        theirs_padding = padding
    mine = (tensors, ours, padding)
    reference = (tensors, theirs, theirs_padding)
    actual = lean(*tensors, attn_mask=ours, key_padding_mask=padding)[0]
    expected = stock(
        *tensors, attn_mask=theirs, key_padding_mask=theirs_padding
    )[0]
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(
        gradients(lean, *mine), gradients(stock, *reference)
    )
    if name != 'none' or padded:
        unmasked = lean(*tensors)[0]
        assert (unmasked - actual).abs().max() > 1e-3


@pytest.mark.parametrize('heads', [1, 4])
@pytest.mark.parametrize('batch', [1, 4])
def test_masks_are_told_apart_by_their_number(heads, batch):
    """Also where there are as many heads as images, or one of either."""
    torch.manual_seed(0)
    stock = nn.MultiheadAttention(DIMS, heads, batch_first=True)
    lean = copy.deepcopy(stock)
    replace_attention(lean)
    query, key = torch.randn(batch, 5, DIMS), torch.randn(batch, 7, DIMS)
    for count in {batch, batch * heads}:
        mask = hidden(count, 5, 7)
        full = mask
        if count == batch:
            full = mask.repeat_interleave(heads, 0)
        torch.testing.assert_close(
            lean(query, key, key, attn_mask=mask)[0],
            stock(query, key, key, attn_mask=full)[0],
            rtol=0,
            atol=1e-6,
        )


def test_without_biases():
    stock, lean = pair(bias=False, batch_first=True)
    tensors = inputs(batch_first=True)
    torch.testing.assert_close(
        lean(*tensors)[0], stock(*tensors)[0], rtol=0, atol=1e-6
    )


def test_no_weights_are_returned():
    _, lean = pair()
    output = lean(*inputs(batch_first=False), need_weights=True)
    assert output[1] is None


def test_dropout_is_for_training():
    _, lean = pair(dropout=0.5)
    stock, _ = pair(dropout=0.0)
    tensors = inputs(batch_first=False)
    expected = stock(*tensors)[0]
    assert (lean(*tensors)[0] - expected).abs().max() > 1e-2
    lean.eval()
    torch.testing.assert_close(lean(*tensors)[0], expected, rtol=0, atol=1e-6)


def test_names_parameters_and_copies_stay():
    stock, lean = pair()
    assert list(lean.state_dict()) == list(stock.state_dict())
    assert isinstance(lean, nn.MultiheadAttention)
    lean.load_state_dict(stock.state_dict(), strict=True)
    stock.load_state_dict(lean.state_dict(), strict=True)
    twin = copy.deepcopy(lean)
    file = io.BytesIO()
    torch.save(lean, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    tensors = inputs(batch_first=False)
    for other in (twin, loaded):
        assert type(other) is SDPAttention
        assert torch.equal(other(*tensors)[0], lean(*tensors)[0])
    with torch.no_grad():
        twin.in_proj_weight.add_(1)
    assert not torch.equal(twin.in_proj_weight, lean.in_proj_weight)


def test_parameters_are_the_same_objects():
    module = nn.Sequential(nn.MultiheadAttention(DIMS, HEADS))
    before = list(module.parameters())
    assert replace_attention(module) == 1
    after = list(module.parameters())
    assert all(a is b for a, b in zip(before, after, strict=True))
    assert replace_attention(module) == 0


@pytest.mark.parametrize(
    'change',
    [dict(add_bias_kv=True), dict(add_zero_attn=True), dict(kdim=8, vdim=8)],
)
def test_other_attention_is_left_alone(change):
    module = nn.ModuleList(
        [nn.MultiheadAttention(DIMS, HEADS, **change), nn.Linear(2, 2)]
    )
    assert replace_attention(module) == 0
    assert type(module[0]) is nn.MultiheadAttention


def test_own_kinds_of_attention_are_left_alone():
    class Mine(nn.MultiheadAttention):
        pass

    module = nn.ModuleList([Mine(DIMS, HEADS)])
    assert replace_attention(module) == 0
    assert type(module[0]) is Mine


def test_layer_of_mask2former():
    """Both attentions of mmdet's layer, as mmcv calls them."""
    attention = dict(embed_dims=DIMS, num_heads=HEADS, batch_first=True)
    torch.manual_seed(0)
    stock = Mask2FormerTransformerDecoderLayer(
        self_attn_cfg=attention,
        cross_attn_cfg=attention,
        ffn_cfg=dict(embed_dims=DIMS, feedforward_channels=32),
    ).eval()
    lean = copy.deepcopy(stock)
    assert replace_attention(lean) == 2
    assert isinstance(lean.cross_attn, MultiheadAttention)
    query, key, _ = inputs(batch_first=True)
    query_pos, key_pos = torch.randn_like(query), torch.randn_like(key)
    seen = hidden(BATCH, QUERIES, KEYS)
    apart = hidden(BATCH, QUERIES, QUERIES)

    def run(layer, cross_attn_mask, self_attn_mask):
        return layer(
            query=query,
            key=key,
            value=key,
            query_pos=query_pos,
            key_pos=key_pos,
            cross_attn_mask=cross_attn_mask,
            self_attn_mask=self_attn_mask,
        )

    torch.testing.assert_close(
        run(lean, seen, apart),
        run(stock, per_head(seen), per_head(apart)),
        rtol=0,
        atol=2e-6,
    )
