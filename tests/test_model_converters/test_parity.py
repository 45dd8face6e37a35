"""check_parity.py with a model of one layer and a reference made here."""

import importlib.util
import json

import numpy as np
import pytest
import torch
import torch.nn as nn

from mmcpm.model_converters import CodeBase, Rename, parity, parity_rule
from mmcpm.utils.errors import UsageError

KEYS = [['fc.weight', [3, 2], 'float32'], ['fc.bias', [3], 'float32']]
SPEC = 'rule.image(5, (4, 2))'


def trace(model, inputs):
    y = model.fc(inputs['image'])
    return {
        'pred': y,
        'map[0]': y * 2,
        'flagged': y * inputs['flag'][:, None],
        'either': (y[:2], y * 3, y * 4),
    }


CODE_BASE = CodeBase(
    name='One layer',
    head='',
    identifying_keys=(r'fc\.',),
    rules=lambda keys: (Rename(r'fc\.', 'fc.'),),
    configs={'one': 'configs/one.py'},
    trace=trace,
    losses=lambda: {'mean': torch.tensor(0.5), 'small': 0.01},
    wrapper_key='model',
)


class OneLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 3)


@pytest.fixture(autouse=True)
def known(monkeypatch):
    for module in (parity, parity.code_base_of_layout.__globals__):
        if isinstance(module, dict):
            monkeypatch.setitem(module, 'CODE_BASES', {'one': CODE_BASE})
        else:
            monkeypatch.setattr(module, 'CODE_BASES', {'one': CODE_BASE})
    monkeypatch.setattr(parity, 'read_config', lambda path: path)
    monkeypatch.setattr(parity, 'build_model', lambda cfg: OneLayer())


@pytest.fixture
def layout(tmp_path):
    path = tmp_path / 'layout.json'
    keys = [[f'module.{k}', *rest] for k, *rest in KEYS]
    content = {'model': 'one', 'keys': keys, 'prefix_in_file': 'module.'}
    path.write_text(json.dumps(content))
    return path


def expected():
    """The layer by hand, from the rule of weights and inputs."""
    weight = parity_rule.weight('fc.weight', (3, 2)).astype(np.float64)
    bias = parity_rule.weight('fc.bias', (3,))
    return parity_rule.image(5, (4, 2)) @ weight.T + bias


def stored(name, x, step=2):
    stats = np.array([x.mean(), x.std(), x.min(), x.max(), 0.0])
    return {
        f'a/{name}|sample': x.reshape(-1)[::step].astype(np.float32),
        f'a/{name}|step': step,
        f'a/{name}|shape': np.array(x.shape),
        f'a/{name}|stats': stats,
    }


def write(path, arrays, **info):
    flag = '[1] * 3 + [0]'
    inputs = {'a': {'image': SPEC, 'flag': flag, 'call': 'net(x), as is'}}
    info = json.dumps({'model': 'one', 'inputs': inputs, **info})
    np.savez(path, info=np.array(info), **arrays)
    return path


def test_tensors_agree(tmp_path, layout):
    y = expected()
    flagged = y * np.array([1, 1, 1, 0])[:, None]
    golden = write(
        tmp_path / 'golden.npz',
        {
            **stored('pred', y),
            **stored('map[0] as returned', 2 * y, 1),
            **stored('flagged', flagged, 5),
            'mean|value': 0.5000001,
        },
    )
    report = parity.check_parity(golden, layout, log=lambda line: None)
    assert report.passed, report.table()
    assert report.keys == ['2 keys mapped to 2 weights']
    assert [item.name for item in report.comparisons] == [
        'a/flagged',
        'a/map[0] as returned',
        'a/pred',
        'mean',
    ]
    assert report.as_dict()['comparisons'][2]['bar'] == pytest.approx(
        1e-4 * y.std()
    )
    assert '4 x 3' in report.table() and 'FAIL' not in report.table()


def test_a_name_that_can_mean_several_tensors(tmp_path, layout):
    y = expected()
    for x, passed in ((3 * y, True), (y[:2], True), (5 * y, False)):
        golden = write(tmp_path / 'golden.npz', stored('either', x))
        report = parity.check_parity(golden, layout, log=lambda line: None)
        assert report.passed == passed, report.table()
    # The closest of the same size.
    (item,) = report.comparisons
    assert item.difference == pytest.approx(abs(y).max(), rel=1e-5)


def failures(report):
    return {i.name: i.note for i in report.comparisons if not i.passed}


def test_what_differs_is_found(tmp_path, layout):
    y = expected()
    off = y.copy()
    off[0, 0] += 2e-4 * y.std()
    # Between the samples, but a sum tells.
    hidden = y.copy()
    hidden[0, 1] += 1
    arrays = {**stored('pred', off), **stored('map[0]', 2 * hidden)}
    arrays |= {**stored('flagged', y[:2]), **stored('other', y)}
    arrays |= {'mean|value': 0.50001, 'small|value': 0.0100001}
    arrays |= {'absent|value': 1.0}
    golden = write(tmp_path / 'golden.npz', arrays)
    report = parity.check_parity(golden, layout, log=lambda line: None)
    found = failures(report)
    assert {*found} == {
        'a/pred',
        'a/map[0]',
        'a/flagged',
        'a/other',
        'mean',
        'absent',
    }
    assert found['a/other'] == 'the model offers no such tensor'
    assert 'shape (4, 3)' in found['a/flagged']
    assert found['absent'] == 'no code base offers this loss'


def test_tool_exits_with_1(tmp_path, layout, request, capsys):
    path = request.config.rootpath / 'tools/model_converters/check_parity.py'
    spec = importlib.util.spec_from_file_location('check_parity', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    out = tmp_path / 'out.json'
    good = write(tmp_path / 'good.npz', stored('pred', expected()))
    tool.main([str(good), str(layout), '--out', str(out)])
    assert json.loads(out.read_text())['passed'] is True
    bad = write(tmp_path / 'bad.npz', stored('pred', expected() + 1))
    with pytest.raises(SystemExit) as stop:
        tool.main([str(bad), str(layout), '--out', str(out)])
    assert stop.value.code == 1
    assert 'a/pred' in capsys.readouterr().out
    assert json.loads(out.read_text())['passed'] is False


@pytest.mark.parametrize(
    ('info', 'message'),
    [
        ({'model': 'two'}, 'is of two, but'),
        ({'inputs': {'a': {'image': 'open("x")'}}}, 'cannot be made'),
    ],
)
def test_files_that_do_not_belong_together(tmp_path, layout, info, message):
    golden = write(tmp_path / 'g.npz', stored('pred', expected()), **info)
    with pytest.raises(UsageError, match=message):
        parity.check_parity(golden, layout, log=lambda line: None)


def test_other_files_are_refused(tmp_path, layout):
    with pytest.raises(UsageError, match='no reference file'):
        parity.check_parity(layout)
    golden = write(tmp_path / 'g.npz', stored('pred', expected()))
    with pytest.raises(UsageError, match='needs LAYOUT'):
        parity.check_parity(golden)
    with pytest.raises(UsageError, match='no layout'):
        parity.check_parity(golden, golden)
    layout.write_text(json.dumps({'model': 'three', 'keys': KEYS}))
    golden = write(
        tmp_path / 'h.npz', stored('pred', expected()), model='three'
    )
    with pytest.raises(UsageError, match="no model for the layout 'three'"):
        parity.check_parity(golden, layout)
