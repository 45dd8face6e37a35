import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.ops.multi_scale_deform_attn import (
    multi_scale_deformable_attn_pytorch,
)

from mmcpm.models.ops import deformable_attention as module
from mmcpm.models.ops.deformable_attention import deformable_attention


def make_inputs(
    sizes,
    batch=2,
    queries=5,
    heads=2,
    dims=3,
    points=2,
    seed=0,
    dtype=torch.float64,
):
    """Values, locations also beyond the borders, weights; with gradients."""
    generator = torch.Generator().manual_seed(seed)
    tokens = sum(h * w for h, w in sizes)
    grid = (batch, queries, heads, len(sizes), points)
    value = torch.randn(batch, tokens, heads, dims, generator=generator)
    locations = 1.6 * torch.rand(*grid, 2, generator=generator) - 0.3
    weights = torch.randn(*grid, generator=generator)
    return [x.to(dtype).requires_grad_() for x in (value, locations, weights)]


def reference(value, sizes, locations, weights):
    """mmcv's own computation with grid_sample."""
    return multi_scale_deformable_attn_pytorch(
        value, torch.tensor(sizes), locations, weights
    )


def gradients(output, inputs):
    """Of a fixed random projection of the output."""
    generator = torch.Generator().manual_seed(1)
    direction = torch.randn(output.shape, generator=generator).to(output)
    return torch.autograd.grad(output, inputs, direction)


def test_hand_calculation():
    # A level of 1 x 2 pixels, 3 and 5. Its middle is half of both; a quarter
    # beyond the right pixel's center, (1 - 0.25) of it is left.
    value = torch.tensor([3.0, 5.0]).view(1, 2, 1, 1)
    locations = torch.tensor([[0.5, 0.5], [0.875, 0.5]]).view(1, 1, 1, 1, 2, 2)
    weights = torch.tensor([0.5, 2.0]).view(1, 1, 1, 1, 2)
    output = deformable_attention(value, ((1, 2),), locations, weights)
    assert output.item() == pytest.approx(0.5 * 4.0 + 2.0 * 0.75 * 5.0)


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(
        st.tuples(st.integers(1, 6), st.integers(1, 6)),
        min_size=1,
        max_size=3,
    ),
    batch=st.integers(1, 3),
    queries=st.integers(1, 7),
    heads=st.integers(1, 3),
    dims=st.integers(1, 9),
    points=st.integers(1, 4),
    seed=st.integers(0, 2**16),
)
def test_equals_mmcv(sizes, batch, queries, heads, dims, points, seed):
    inputs = make_inputs(sizes, batch, queries, heads, dims, points, seed)
    value, locations, weights = inputs
    ours = deformable_attention(value, tuple(sizes), locations, weights)
    theirs = reference(value, sizes, locations, weights)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    for mine, other in zip(
        gradients(ours, inputs), gradients(theirs, inputs), strict=True
    ):
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('sparse', [True, False])
def test_gradcheck(monkeypatch, sparse):
    if sparse and not module._has_sampled_product():
        pytest.skip('this PyTorch has no sampled products on the CPU')
    monkeypatch.setattr(module, '_has_sampled_product', lambda: sparse)
    sizes = ((3, 2), (1, 1))
    value, locations, weights = make_inputs(sizes)
    assert torch.autograd.gradcheck(
        lambda *inputs: deformable_attention(
            inputs[0], sizes, inputs[1], inputs[2]
        ),
        (value, locations, weights),
    )


def test_float32_at_a_real_size():
    sizes = ((4, 4), (8, 8), (16, 16))
    inputs = make_inputs(sizes, 1, 336, 8, 32, 4, dtype=torch.float32)
    value, locations, weights = inputs
    ours = deformable_attention(value, sizes, locations, weights)
    theirs = reference(value, sizes, locations, weights)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    for mine, other in zip(
        gradients(ours, inputs), gradients(theirs, inputs), strict=True
    ):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-3)


def test_images_do_not_depend_on_chunks(monkeypatch):
    sizes = ((3, 4), (2, 2))
    inputs = make_inputs(sizes, batch=3)
    results = []
    for limit in (1, 10**9):
        monkeypatch.setattr(
            module, 'CHUNK_SAMPLES', dict.fromkeys(('cpu', 'cuda'), limit)
        )
        output = deformable_attention(inputs[0], sizes, *inputs[1:])
        results.append((output, *gradients(output, inputs)))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_keeps_its_inputs_only():
    sizes = ((4, 4), (2, 2))
    inputs = make_inputs(sizes)
    kept = []

    def keep(tensor):
        kept.append(tensor.data_ptr())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        deformable_attention(inputs[0], sizes, *inputs[1:])
    assert sorted(kept) == sorted(x.data_ptr() for x in inputs)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_values_with_exact_locations(dtype):
    sizes = ((16, 16), (8, 8))
    value, locations, weights = make_inputs(sizes, dtype=torch.float32)
    half = value.detach().to(dtype).requires_grad_()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        ours = deformable_attention(half, sizes, locations, weights)
    exact = reference(half.float(), sizes, locations, weights)
    assert ours.dtype == dtype
    # Rounded once, at the end.
    torch.testing.assert_close(ours, exact.to(dtype), rtol=0.01, atol=1e-3)
    grads = gradients(ours, (half, locations, weights))
    assert [g.dtype for g in grads] == [dtype, torch.float32, torch.float32]


def test_strange_locations_stay_in_the_table():
    sizes = ((3, 3),)
    value, locations, weights = make_inputs(sizes)
    with torch.no_grad():
        locations[0] = 1e30
        locations[1] = -float('inf')
    output = deformable_attention(value, sizes, locations, weights)
    assert output.abs().max() == 0
    for gradient in gradients(output, (value, locations, weights)):
        assert gradient.abs().max() == 0


def test_sizes_that_do_not_fit():
    value, locations, weights = make_inputs(((3, 2), (1, 1)))
    with pytest.raises(ValueError, match='have 9 tokens'):
        deformable_attention(value, ((4, 2), (1, 1)), locations, weights)
    with pytest.raises(ValueError, match='have 7 tokens'):
        deformable_attention(value, ((7, 1),), locations, weights)


def test_no_number_is_read_from_the_device():
    # Meta tensors have no numbers: reading one raises.
    sizes = ((3, 2), (1, 1))
    inputs = [x.detach().to('meta') for x in make_inputs(sizes)]
    inputs = [x.float().requires_grad_() for x in inputs]
    output = deformable_attention(inputs[0], sizes, *inputs[1:])
    output.sum().backward()
    assert inputs[1].grad.shape == inputs[1].shape
