import logging
from types import SimpleNamespace

import pytest
import torch
import torch.nn as nn

from mmcpm.engine.hooks import CompileHook, compile_hook


@pytest.fixture
def runner():
    torch.manual_seed(0)
    model = nn.ModuleDict(
        dict(
            backbone=nn.Sequential(nn.Linear(4, 4), nn.ReLU()), head=nn.ReLU()
        )
    )
    return SimpleNamespace(
        model=model, logger=logging.getLogger('test_compile_hook')
    )


def test_parts_are_compiled_and_keep_their_names(runner, monkeypatch, caplog):
    monkeypatch.setattr(compile_hook, 'why_not_to_compile', lambda _: None)
    backbone = runner.model['backbone']
    names = list(runner.model.state_dict())
    inputs = torch.randn(3, 4)
    expected = backbone(inputs)
    with caplog.at_level('INFO'):
        CompileHook(parts=['backbone'], backend='eager').before_run(runner)
    assert 'backbone' in caplog.text
    assert backbone._compiled_call_impl is not None
    assert runner.model['head']._compiled_call_impl is None
    torch.testing.assert_close(backbone(inputs), expected)
    assert list(runner.model.state_dict()) == names


def test_without_a_compiler_training_goes_on(runner, monkeypatch, caplog):
    def fail(*args, **kwargs):
        raise RuntimeError('no C++ compiler\nin many lines')

    monkeypatch.setattr(torch, 'compile', fail)
    CompileHook(parts=['backbone']).before_run(runner)
    assert 'RuntimeError: no C++ compiler' in caplog.text
    assert 'many lines' not in caplog.text
    assert runner.model['backbone']._compiled_call_impl is None


def test_unknown_parts_are_named(runner):
    with pytest.raises(ValueError, match='no part backbones.*backbone, head'):
        CompileHook(parts=['backbones']).before_run(runner)
