import itertools

import pytest
import torch

from mmcpm.models.classifiers import GMMClassifier, gmm
from mmcpm.models.utils.full_precision import full_precision

HAS_PRESENT_SWITCHES = hasattr(torch.backends.cuda.matmul, 'fp32_precision')
# Backend and operation of PyTorch's present switches.
SWITCHES = (
    ('generic', 'all'),
    ('cuda', 'all'),
    ('cuda', 'matmul'),
    ('cuda', 'conv'),
    ('mkldnn', 'all'),
    ('mkldnn', 'matmul'),
    ('mkldnn', 'conv'),
)
# What users write, old and present.
OLD = {
    'nothing': (),
    'high': ("torch.set_float32_matmul_precision('high')",),
    'medium': ("torch.set_float32_matmul_precision('medium')",),
    'allow_tf32': ('torch.backends.cuda.matmul.allow_tf32 = True',),
    'medium_without_tf32': (
        "torch.set_float32_matmul_precision('medium')",
        'torch.backends.cuda.matmul.allow_tf32 = False',
    ),
}
PRESENT = {
    'cuda_products': "torch.backends.cuda.matmul.fp32_precision = 'tf32'",
    'cuda': "torch.backends.cudnn.fp32_precision = 'tf32'",
    'everywhere': "torch.backends.fp32_precision = 'tf32'",
    'everywhere_half': "torch.backends.fp32_precision = 'bf16'",
    'cpu_products': "torch.backends.mkldnn.matmul.fp32_precision = 'bf16'",
    'cpu': "torch.backends.mkldnn.set_flags(_fp32_precision='bf16')",
    'exact': "torch.backends.cuda.matmul.fp32_precision = 'ieee'",
}
CASES = dict(OLD)
if HAS_PRESENT_SWITCHES:
    for (old, lines), (new, line) in itertools.product(
        OLD.items(), PRESENT.items()
    ):
        CASES[f'{old}-{new}'] = (*lines, line)
        CASES[f'{new}-{old}'] = (line, *lines)


def set_switch(backend, operation, value):
    torch._C._set_fp32_precision_setter(backend, operation, value)


def reset():
    torch.set_float32_matmul_precision('highest')
    if HAS_PRESENT_SWITCHES:
        for backend, operation in SWITCHES:
            first = (backend, operation) == ('cuda', 'conv')
            set_switch(backend, operation, 'tf32' if first else 'none')


def readings():
    """What every switch says, where it can be asked at all."""
    found = []
    if HAS_PRESENT_SWITCHES:
        found = [torch._C._get_fp32_precision_getter(*s) for s in SWITCHES]
    for ask in (
        torch.get_float32_matmul_precision,
        lambda: torch.backends.cuda.matmul.allow_tf32,
    ):
        try:
            found.append(ask())
        except RuntimeError:
            found.append('old and present switches disagree')
    return found


def story():
    """Readings now, and as the switches that others follow are changed."""
    told = [readings()]
    if HAS_PRESENT_SWITCHES:
        for backend, value in (
            ('generic', 'ieee'),
            ('cuda', 'ieee'),
            ('mkldnn', 'ieee'),
            ('cuda', 'none'),
            ('mkldnn', 'none'),
            ('generic', 'tf32'),
            ('generic', 'none'),
        ):
            set_switch(backend, 'all', value)
            told.append(readings())
        for backend in ('cuda', 'mkldnn'):
            # Shows the old switch, which may disagree with these.
            set_switch(backend, 'matmul', 'ieee')
        told.append(readings())
    return told


@pytest.fixture
def switches():
    """The function that lets a user set switches; all are reset later."""

    def let(lines):
        reset()
        for line in lines:
            exec(line)

    yield let
    reset()


@pytest.mark.parametrize('name', CASES)
def test_whatever_switches_are_set_products_are_exact_inside_only(
    switches, name
):
    switches(CASES[name])
    expected = story()
    switches(CASES[name])
    with full_precision('cpu'):
        assert torch.get_float32_matmul_precision() == 'highest'
        assert torch.backends.cuda.matmul.allow_tf32 is False
        if HAS_PRESENT_SWITCHES:
            assert torch.backends.cuda.matmul.fp32_precision == 'ieee'
            assert torch.backends.mkldnn.matmul.fp32_precision == 'ieee'
    assert story() == expected


@pytest.mark.parametrize(
    'name',
    sorted({'high', 'cuda_products-nothing', 'everywhere-high'} & {*CASES}),
)
def test_settings_come_back_after_an_error_and_from_inside_another(
    switches, name
):
    switches(CASES[name])
    before = readings()
    with pytest.raises(KeyError), full_precision('cpu'):
        with full_precision('cpu'):
            pass
        assert torch.get_float32_matmul_precision() == 'highest'
        raise KeyError
    assert readings() == before


@pytest.fixture
def coarse(switches):
    """A program that allows coarse products, in half precision."""
    switches(OLD['medium'])
    with torch.autocast('cpu', torch.bfloat16):
        yield


def test_autocast_ends_inside_only(coarse):
    with full_precision('cpu'):
        assert not torch.is_autocast_enabled('cpu')
    assert torch.is_autocast_enabled('cpu')


def test_densities_and_updates_are_exact(coarse, monkeypatch):
    seen = []
    for name in ('component_log_prob', 'member_log_prob'):
        function = getattr(gmm, name)

        def spy(*args, function=function):
            seen.append(torch.get_float32_matmul_precision())
            return function(*args)

        monkeypatch.setattr(gmm, name, spy)
    classifier = GMMClassifier(num_classes=3, embed_dims=8, em_interval=1)
    classifier.train()
    classifier(torch.randn(5, 8))
    classifier.enqueue(torch.randn(5, 8), torch.tensor([0, 1, 2, 3, 0]))
    assert set(seen) == {'highest'} and len(seen) >= 3
