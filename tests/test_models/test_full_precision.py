import pytest
import torch

from mmcpm.models.classifiers import GMMClassifier, gmm
from mmcpm.models.full_precision import full_precision


@pytest.fixture
def coarse():
    """A program that allows coarse products, in half precision."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision('medium')
    with torch.autocast('cpu', torch.bfloat16):
        yield
    torch.set_float32_matmul_precision(before)


def test_products_are_exact_inside_only(coarse):
    with full_precision('cpu'):
        assert torch.get_float32_matmul_precision() == 'highest'
        assert not torch.is_autocast_enabled('cpu')
    assert torch.get_float32_matmul_precision() == 'medium'
    assert torch.is_autocast_enabled('cpu')


def test_settings_come_back_after_an_error(coarse):
    with pytest.raises(KeyError), full_precision('cpu'):
        raise KeyError
    assert torch.get_float32_matmul_precision() == 'medium'


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
