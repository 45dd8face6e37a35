"""Two algorithms in one optimizer equal two optimizers."""

import copy
import io

import pytest
import torch
import torch.nn as nn
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from mmcpm.engine.optimizers import SGDAdam


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Linear(3, 4)
        self.audio_backbone = nn.Linear(3, 4)


def gradients(model, step):
    generator = torch.Generator().manual_seed(step)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def build(model):
    return SGDAdam(
        [
            dict(params=model.backbone.parameters(), weight_decay=0.1),
            dict(
                params=model.audio_backbone.parameters(),
                algorithm='adam',
                lr=0.02,
            ),
        ],
        lr=0.01,
    )


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Model()


def test_equal_to_two_optimizers(model):
    other = copy.deepcopy(model)
    both = build(model)
    sgd = torch.optim.SGD(
        other.backbone.parameters(), 0.01, momentum=0.9, weight_decay=0.1
    )
    adam = torch.optim.Adam(other.audio_backbone.parameters(), 0.02)
    for step in range(4):
        gradients(model, step)
        gradients(other, step)
        both.step()
        sgd.step()
        adam.step()
    for own, expected in zip(
        model.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(own, expected)


def test_resumed_training_is_the_same(model):
    resumed = copy.deepcopy(model)
    optimizer = build(model)
    for step in range(3):
        gradients(model, step)
        optimizer.step()
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    resumed.load_state_dict(model.state_dict())
    other = build(resumed)
    other.load_state_dict(torch.load(file, weights_only=True))
    for step in range(3, 6):
        gradients(model, step)
        gradients(resumed, step)
        optimizer.step()
        other.step()
    for own, expected in zip(
        resumed.parameters(), model.parameters(), strict=True
    ):
        assert torch.equal(own, expected)


def test_closure(model):
    def closure():
        optimizer.zero_grad()
        loss = model.backbone(torch.ones(1, 3)).square().sum()
        loss.backward()
        return loss

    optimizer = build(model)
    first = float(optimizer.step(closure))
    assert float(optimizer.step(closure)) < first


def test_a_config_chooses_by_name(model):
    init_default_scope('mmseg')
    wrapper = build_optim_wrapper(
        model,
        dict(
            optimizer=dict(type='SGDAdam', lr=0.01, weight_decay=0.1),
            paramwise_cfg=dict(
                custom_keys={
                    'audio_backbone': dict(algorithm='adam', decay_mult=0.0)
                }
            ),
        ),
    )
    found = {
        (group['algorithm'], group['weight_decay'])
        for group in wrapper.optimizer.param_groups
    }
    assert found == {('sgd', 0.1), ('adam', 0.0)}


def test_unknown_algorithm(model):
    with pytest.raises(ValueError, match=r"one of \['adam', 'sgd'\]"):
        SGDAdam(model.parameters(), algorithm='lamb')
