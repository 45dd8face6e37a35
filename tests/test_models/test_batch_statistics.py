import copy

import pytest
import torch
import torch.nn as nn

from mmcpm.models.batch_statistics import (
    frozen_running_statistics,
    has_batch_statistics,
)


def network(momentum=0.1):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4, momentum=momentum),
        nn.ReLU(),
        nn.Sequential(nn.GroupNorm(2, 4), nn.BatchNorm2d(4)),
        nn.BatchNorm2d(4, track_running_stats=False),
    )


@pytest.mark.parametrize('momentum', [0.1, None])
def test_outputs_are_the_same_and_nothing_is_remembered(momentum):
    model, twin = network(momentum), network(momentum)
    images = torch.randn(3, 1, 8, 8) + 2
    expected = twin(images)
    before = copy.deepcopy(model.state_dict())
    with frozen_running_statistics(model):
        assert torch.equal(model(images), expected)
        assert torch.equal(model(images), expected)
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert [m.momentum for m in (model[1], model[3][1])] == [momentum, 0.1]
    # Afterwards it learns as if nothing had been.
    model(images)
    for name, value in twin.state_dict().items():
        assert torch.equal(model.state_dict()[name], value)


def test_gradients_flow():
    model, twin = network(), network()
    images = torch.randn(3, 1, 8, 8)
    with frozen_running_statistics(model):
        output = model(images)
    output.square().sum().backward()
    twin(images).square().sum().backward()
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)


def test_an_error_inside_leaves_no_trace():
    model = network()
    before = copy.deepcopy(model.state_dict())
    with (
        pytest.raises(ZeroDivisionError),
        frozen_running_statistics(model),
    ):
        _ = 1 / 0
    assert model[1].momentum == 0.1
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_evaluation_uses_running_statistics_as_ever():
    model = network().eval()
    model[1].running_mean.fill_(3.0)
    images = torch.randn(3, 1, 8, 8)
    expected = model(images)
    with frozen_running_statistics(model):
        assert torch.equal(model(images), expected)


def test_who_has_batch_statistics():
    model = network()
    assert has_batch_statistics(model)
    assert not has_batch_statistics(model.eval())
    model[3].train()
    assert has_batch_statistics(model)
    assert not has_batch_statistics(nn.Sequential(nn.GroupNorm(2, 4)))
    assert has_batch_statistics(nn.SyncBatchNorm(4))
