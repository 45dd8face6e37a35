import pytest
import torch
from mmcv.ops import MultiScaleDeformableAttention

import mmcpm
from mmcpm.models.ops import ms_deform_attn
from mmcpm.models.ops.ms_deform_attn import (
    MSDeformAttn,
    available_backends,
    choose_backend,
    replace_ms_deform_attn,
    sample_pyramid,
)

SIZES = ((2, 3), (4, 6))
TOKENS = 30


@pytest.fixture(autouse=True)
def _forget_choices():
    choose_backend.cache_clear()
    yield
    choose_backend.cache_clear()


def make_attention(**kwargs):
    torch.manual_seed(0)
    module = MultiScaleDeformableAttention(
        embed_dims=16,
        num_heads=4,
        num_levels=2,
        num_points=3,
        dropout=0.0,
        batch_first=True,
        **kwargs,
    ).double()
    # Its initial offsets are the same for all queries.
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module


def make_inputs():
    generator = torch.Generator().manual_seed(1)
    query, position = torch.randn(
        2, 2, TOKENS, 16, generator=generator, dtype=torch.float64
    )
    reference = torch.rand(
        1, TOKENS, 1, 2, generator=generator, dtype=torch.float64
    )
    return query, position, reference


@pytest.mark.parametrize('padded', [False, True])
def test_equals_mmcv_with_its_parameters(padded):
    module = make_attention()
    names = list(module.state_dict())
    query, position, reference = make_inputs()
    padding = torch.zeros(2, TOKENS, dtype=torch.bool)
    padding[1, :7] = padded
    theirs = module(
        query,
        query_pos=position,
        key_padding_mask=padding,
        reference_points=reference.expand(2, -1, 2, -1),
        spatial_shapes=torch.tensor(SIZES),
    )
    assert replace_ms_deform_attn(module) == 1
    assert list(module.state_dict()) == names
    ours = module(
        query,
        query_pos=position,
        key_padding_mask=padding if padded else None,
        reference_points=reference,
        spatial_shapes=SIZES,
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_autocast_samples_at_exact_locations(monkeypatch):
    module = make_attention().float()
    replace_ms_deform_attn(module)
    seen = {}

    def spy(value, sizes, locations, weights, backend):
        seen.update(value=value.dtype, locations=locations.dtype)
        return sample_pyramid(value, sizes, locations, weights, backend)

    monkeypatch.setattr(ms_deform_attn, 'sample_pyramid', spy)
    query, position, reference = (x.float() for x in make_inputs())
    with torch.autocast('cpu', dtype=torch.bfloat16):
        output = module(
            query,
            query_pos=position,
            reference_points=reference,
            spatial_shapes=SIZES,
        )
    assert seen == {'value': torch.bfloat16, 'locations': torch.float32}
    assert output.isfinite().all()


def test_modules_in_sequence_order_are_refused():
    module = MultiScaleDeformableAttention(16, 4, batch_first=False)
    with pytest.raises(ValueError, match='batch_first=True'):
        replace_ms_deform_attn(module)


def test_all_modules_inside_are_changed():
    modules = torch.nn.ModuleList([make_attention(), make_attention()])
    assert replace_ms_deform_attn(modules, 'pytorch') == 2
    assert all(type(module) is MSDeformAttn for module in modules)
    assert all(module.backend == 'pytorch' for module in modules)


def test_unknown_backend():
    with pytest.raises(ValueError, match="but got 'cuda'"):
        replace_ms_deform_attn(make_attention(), 'cuda')


@pytest.mark.parametrize('backend', ['mmcv', 'deformops'])
def test_missing_backend_names_the_remedy(monkeypatch, backend):
    monkeypatch.setattr(mmcpm.compat, 'HAS_COMPILED_OPERATORS', False)
    monkeypatch.setattr(
        ms_deform_attn.importlib.util, 'find_spec', lambda name: None
    )
    with pytest.raises(ImportError, match='pip install'):
        replace_ms_deform_attn(make_attention(), backend)


@pytest.mark.parametrize(
    ('compiled', 'deformops', 'expected'),
    [
        (False, False, 'pytorch'),
        (True, False, 'mmcv'),
        (True, True, 'deformops'),
    ],
)
def test_automatic_choice_is_logged_once(
    monkeypatch, compiled, deformops, expected
):
    lines = []
    monkeypatch.setattr(mmcpm.compat, 'HAS_COMPILED_OPERATORS', compiled)
    monkeypatch.setattr(
        ms_deform_attn.importlib.util,
        'find_spec',
        lambda name: deformops or None,
    )
    monkeypatch.setattr(
        ms_deform_attn, 'print_log', lambda text, **_: lines.append(text)
    )
    for _ in range(2):
        assert choose_backend('auto', 'cuda') == expected
    assert len(lines) == 1
    assert expected in lines[0]
    assert choose_backend('auto', 'cpu') == 'pytorch'
    assert choose_backend('pytorch', 'cuda') == 'pytorch'


@pytest.mark.parametrize('backend', ['mmcv', 'deformops'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_backends_agree(backend, dtype):
    reason = available_backends()[backend]
    if reason or not torch.cuda.is_available():
        pytest.skip(reason or 'both libraries compute on CUDA only')
    generator = torch.Generator().manual_seed(0)
    value = torch.randn(2, TOKENS, 4, 32, generator=generator)
    locations = torch.rand(2, 50, 4, 2, 3, 2, generator=generator)
    weights = torch.rand(2, 50, 4, 2, 3, generator=generator)
    results = []
    for name in (backend, 'pytorch'):
        inputs = [
            x.cuda().requires_grad_()
            for x in (value.to(dtype), locations, weights)
        ]
        output = sample_pyramid(inputs[0], SIZES, *inputs[1:], backend=name)
        output.float().square().sum().backward()
        results.append((output, *(x.grad for x in inputs)))
    tolerance = 1e-3 if dtype == torch.float32 else 5e-2
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    'batch, step', [(1, 1), (16, 16), (64, 64), (66, 33), (100, 50), (67, 1)]
)
def test_mmcv_takes_any_batch(monkeypatch, batch, step):
    """Its operator asks for whole steps of at most 64 images."""
    told = []

    def apply(value, shapes, starts, locations, weights, step):
        told.append((step, shapes.tolist(), starts.tolist()))
        return value.new_zeros(len(value), locations.shape[1], 8)

    monkeypatch.setattr(ms_deform_attn, 'choose_backend', lambda *_: 'mmcv')
    monkeypatch.setattr(
        ms_deform_attn.MultiScaleDeformableAttnFunction, 'apply', apply
    )
    sample_pyramid(
        torch.zeros(batch, 10, 2, 4),
        ((2, 3), (2, 2)),
        torch.zeros(batch, 5, 2, 2, 1, 2),
        torch.zeros(batch, 5, 2, 2, 1),
    )
    assert told == [(step, [[2, 3], [2, 2]], [0, 6])]
