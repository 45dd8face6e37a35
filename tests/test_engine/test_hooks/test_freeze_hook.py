from types import SimpleNamespace

import pytest
import torch.nn as nn

from mmcpm.engine.hooks import FreezeHook


@pytest.fixture
def runner():
    model = nn.ModuleDict(dict(backbone=nn.Linear(2, 2), head=nn.Linear(2, 2)))
    model.backbone.bias.requires_grad_(False)
    lines = []
    return SimpleNamespace(
        model=model,
        epoch=0,
        lines=lines,
        logger=SimpleNamespace(info=lines.append),
    )


def trained(runner):
    return [n for n, p in runner.model.named_parameters() if p.requires_grad]


@pytest.mark.parametrize('first', [0, 1, 3])
def test_weights_are_trained_after_some_epochs(runner, first):
    """Also where a training is resumed; what is frozen anyway stays so."""
    hook = FreezeHook(part='backbone', epochs=2)
    hook.before_train(runner)
    found = {}
    for runner.epoch in range(first, 4):
        for index in range(2):
            hook.before_train_iter(runner, index)
            found[runner.epoch] = trained(runner)
    head = ['head.weight', 'head.bias']
    for epoch, names in found.items():
        assert names == (head if epoch < 2 else ['backbone.weight', *head])
    assert len(runner.lines) == (2 if first < 2 else 0)


def test_a_training_that_ends_early_leaves_nothing_frozen(runner):
    hook = FreezeHook(epochs=9)
    before = trained(runner)
    hook.before_train(runner)
    hook.before_train_iter(runner, 0)
    assert trained(runner) != before
    hook.after_train(runner)
    assert trained(runner) == before


def test_refusals(runner):
    with pytest.raises(ValueError, match="'neck'.*backbone, head"):
        FreezeHook(part='neck', epochs=1).before_train(runner)
    with pytest.raises(ValueError, match='-1'):
        FreezeHook(epochs=-1)
