import socket
import time

import pytest
import torch
import torch.nn as nn
from mmengine.model import BaseModule

from mmcpm.models.utils import pretrained
from mmcpm.models.utils.pretrained import (
    check_pretrained_weights,
    count_fitting,
    forget_pretrained_weights,
)


class Part(BaseModule):
    def __init__(self, checkpoint, size=2, **kwargs):
        super().__init__(dict(type='Pretrained', checkpoint=str(checkpoint)))
        self.init_cfg.update(kwargs)
        self.first = nn.Linear(size, size)
        self.norm = nn.BatchNorm1d(size)


class Model(BaseModule):
    def __init__(self, *args, **kwargs):
        super().__init__()
        self.backbone = Part(*args, **kwargs)


def save(path, size=2, **renamed):
    state = Part('', size).state_dict()
    for before, after in renamed.items():
        state = {k.replace(before, after): v for k, v in state.items()}
    torch.save(state, path)
    return path


def test_a_file_that_fits(tmp_path):
    check_pretrained_weights(Model(save(tmp_path / 'a.pth')))
    torch.save(
        dict(state_dict=torch.load(tmp_path / 'a.pth')), tmp_path / 'b.pth'
    )
    check_pretrained_weights(Model(tmp_path / 'b.pth'))


@pytest.mark.parametrize('prefix', ['backbone', 'backbone.'])
def test_weights_within_a_larger_file(tmp_path, prefix):
    state = torch.load(save(tmp_path / 'a.pth'))
    state = {f'module.backbone.{name}': value for name, value in state.items()}
    torch.save(state, tmp_path / 'b.pth')
    check_pretrained_weights(Model(tmp_path / 'b.pth', prefix=prefix))
    with pytest.raises(RuntimeError, match='0 are there'):
        check_pretrained_weights(Model(tmp_path / 'b.pth'))


def test_weights_of_another_model_are_refused(tmp_path):
    """mmengine would train from random weights."""
    path = save(tmp_path / 'a.pth', size=3)
    with pytest.raises(RuntimeError) as raised:
        check_pretrained_weights(Model(path))
    message = str(raised.value)
    assert f'{path} is not a weight file for backbone' in message
    assert 'of the 6 weights of its Part, 0 are there' in message
    assert 'model.backbone.init_cfg.checkpoint=FILE' in message
    assert 'model.backbone.init_cfg=None' in message


def test_half_of_the_weights_are_enough(tmp_path):
    """A backbone with another stem, for example."""
    path = save(tmp_path / 'a.pth', first='stem')
    assert count_fitting(Part(path), torch.load(path)) == (4, 6)
    check_pretrained_weights(Model(path))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RuntimeError) as raised:
        check_pretrained_weights(Model(tmp_path / 'none.pth'))
    message = str(raised.value)
    assert 'pretrained weights of backbone' in message
    assert 'none.pth' in message
    assert 'model.backbone.init_cfg.checkpoint=FILE' in message


def test_a_server_that_is_silent_is_not_waited_for(monkeypatch, tmp_path):
    """A firewall that swallows everything, say."""
    monkeypatch.setattr(pretrained, 'PATIENCE', 0.2)
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    for name in ('http_proxy', 'HTTP_PROXY'):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(('127.0.0.1', 0)) as server:
        port = server.getsockname()[1]
        started = time.monotonic()
        with pytest.raises(RuntimeError, match='timed out.*no network'):
            check_pretrained_weights(Model(f'http://127.0.0.1:{port}/a.pth'))
    assert time.monotonic() - started < 10
    assert socket.getdefaulttimeout() is None


def test_resumed_models_need_no_file(tmp_path):
    model = Model(tmp_path / 'none.pth')
    forget_pretrained_weights(model)
    check_pretrained_weights(model)
    model.init_weights()
