from types import SimpleNamespace

import pytest
import torch
import torch.nn as nn

from mmcpm.engine.hooks import IdleLossHook, idle_loss_hook

NAMES = ('loss_vcp_cls', 'loss_vcp_mask', 'loss_acp', 'loss_pcl')


def step(alive, ready=True):
    """What a head logs of a step in which some objectives teach."""
    logged = {
        f'decode.{name}': torch.tensor(0.3 if part in alive else 0.0)
        for name in NAMES
        for part in [name.split('_')[1]]
    }
    logged['decode.prompts_ready'] = torch.tensor(float(ready))
    return {'loss': torch.tensor(1.0), **logged}


class Recorder:
    """Runner and logger of a training."""

    def __init__(self):
        self.lines = []
        self.model = nn.Linear(1, 1)
        self.iter = 0
        self.logger = SimpleNamespace(
            warning=lambda text: self.lines.append(('warning', text)),
            info=lambda text: self.lines.append(('info', text)),
        )


def train(hook, steps, runner=None):
    """Tell after which steps what was said."""
    runner = runner or Recorder()
    hook.before_train(runner)
    said = []
    for number, outputs in enumerate(steps, 1):
        before = len(runner.lines)
        hook.after_train_iter(runner, runner.iter, None, outputs)
        runner.iter += 1
        said += [(number, *line) for line in runner.lines[before:]]
    return said


def test_an_idle_loss_is_told_once_with_its_cause():
    steps = [step({'vcp', 'acp', 'pcl'})] * 3 + [step({'vcp'})] * 40
    said = train(IdleLossHook(patience=8), steps)
    assert [(n, level, text[:3]) for n, level, text in said] == [
        (11, 'warning', 'ACP'),
        (11, 'warning', 'PCL'),
    ]
    assert (
        'has taught nothing for 8 iterations (up to iteration 11)'
        in (said[0][2])
    )
    for part in ('batch_size', 'uid', 'sound_sources', 'LoadOffscreenAudio'):
        assert part in said[0][2] and part in said[1][2]


def test_prompts_that_are_not_ready_are_named_as_the_cause():
    said = train(IdleLossHook(patience=5), [step((), ready=False)] * 5)
    assert [text[:3] for _, _, text in said] == ['VCP', 'ACP', 'PCL']
    assert all('no prompt was ready' in text for _, _, text in said)
    said = train(IdleLossHook(patience=5), [step({'acp', 'pcl'})] * 5)
    assert [text[:3] for _, _, text in said] == ['VCP']
    assert 'no prompt was ready' not in said[0][2]


def test_a_loss_that_is_back_is_told_and_may_fall_silent_again():
    idle, alive = step({'vcp', 'acp'}), step({'vcp', 'acp', 'pcl'})
    said = train(
        IdleLossHook(patience=4), [idle] * 6 + [alive] * 2 + [idle] * 6
    )
    assert [(n, level, text.split()[0]) for n, level, text in said] == [
        (4, 'warning', 'PCL'),
        (7, 'info', 'PCL'),
        (12, 'warning', 'PCL'),
    ]


def test_the_host_looks_ten_times_per_patience(monkeypatch):
    looks = []
    monkeypatch.setattr(
        idle_loss_hook, 'all_reduce', lambda *args: looks.append(args)
    )
    train(IdleLossHook(patience=50), [step({'vcp'})] * 100)
    assert len(looks) == 20 and {op for _, op in looks} == {'min'}


def test_a_loss_that_teaches_on_another_rank_is_not_idle(monkeypatch):
    other = torch.tensor([9, 0, 9, 0])
    monkeypatch.setattr(
        idle_loss_hook,
        'all_reduce',
        lambda counts, op: counts.copy_(torch.minimum(counts, other)),
    )
    said = train(IdleLossHook(patience=9), [step(())] * 9)
    assert [text[:3] for _, _, text in said] == ['VCP', 'PCL']


def test_terms_on_the_host_of_a_model_that_is_not(monkeypatch):
    """NonFiniteGuardHook brings them there; without PCL one is missing."""
    devices = []

    def stack(tensors):
        devices.extend(tensor.device.type for tensor in tensors)
        raise InterruptedError

    outputs = {k: v for k, v in step(()).items() if 'pcl' not in k}
    runner = Recorder()
    runner.model.to('meta')
    monkeypatch.setattr(torch, 'stack', stack)
    with pytest.raises(InterruptedError):
        train(IdleLossHook(patience=1), [outputs], runner)
    assert devices == ['meta'] * 4


@pytest.mark.parametrize(
    'outputs',
    [None, {}, {'loss': torch.ones(())}, {'loss_ce': torch.zeros(())}],
)
def test_other_heads_are_left_alone(outputs):
    assert train(IdleLossHook(patience=3), [outputs] * 9) == []


def test_terms_of_a_rejected_update_are_missing():
    """NonFiniteGuardHook takes them out of the outputs."""
    broken = {'loss': torch.ones(())}
    said = train(IdleLossHook(patience=4), [step({'vcp', 'pcl'}), broken] * 4)
    assert [(n, text[:3]) for n, _, text in said] == [(7, 'ACP')]


def test_patience_is_checked():
    assert train(IdleLossHook(patience=0), [step(())] * 9) == []
    with pytest.raises(ValueError, match='-1'):
        IdleLossHook(patience=-1)
