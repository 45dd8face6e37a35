import copy

import pytest
import torch
import torch.nn as nn
from mmengine.optim import ConstantLR, OptimWrapper
from mmseg.registry import OPTIM_WRAPPERS

import mmcpm  # noqa: F401
from mmcpm.engine.optim_wrappers import update_guard
from mmcpm.engine.optim_wrappers.update_guard import (
    UpdateGuard,
    gradient_norms,
    spread_non_finite,
)

BAD = [float('nan'), float('inf'), float('-inf')]


def make(kind='OptimWrapper', **kwargs):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    wrapper = OPTIM_WRAPPERS.build(
        dict(type=kind, _scope_='mmseg', optimizer=optimizer, **kwargs)
    )
    return model, wrapper, UpdateGuard(wrapper)


def update(model, wrapper, factor=1.0):
    with wrapper.optim_context(model):
        output = model(torch.ones(2, 4))
    wrapper.update_params(output.float().sum() * factor)


def state(model, wrapper):
    return copy.deepcopy((model.state_dict(), wrapper.state_dict()))


def flat(value):
    if isinstance(value, dict):
        return [x for item in value.values() for x in flat(item)]
    if isinstance(value, list | tuple):
        return [x for item in value for x in flat(item)]
    return [value]


def same(first, second):
    pairs = zip(flat(first), flat(second), strict=True)
    return all(
        torch.equal(a, b) if torch.is_tensor(a) else a == b for a, b in pairs
    )


@pytest.mark.parametrize('factor', [2.0, 0.0, -3e30])
def test_finite_losses_are_unchanged(factor):
    weight = torch.tensor([0.3, -1.7], requires_grad=True)
    loss = (weight * factor).sum()
    (expected,) = torch.autograd.grad(loss, weight, retain_graph=True)
    spread = spread_non_finite(loss)
    (found,) = torch.autograd.grad(spread, weight)
    assert torch.equal(spread, loss) and torch.equal(found, expected)


@pytest.mark.parametrize('value', BAD)
def test_non_finite_losses_reach_every_gradient(value):
    used = torch.tensor([0.3, -1.7], requires_grad=True)
    # A constant: its gradient would be finite.
    loss = used.sum() + 0 * used.sum() + value
    (gradient,) = torch.autograd.grad(spread_non_finite(loss), used)
    assert gradient.isnan().all()


def test_gradient_norms():
    parameters = [nn.Parameter(torch.zeros(2)) for _ in range(3)]
    for parameter, gradient in zip(
        parameters, ([3.0, 4.0], [0.0, BAD[0]], [BAD[1], 0.0]), strict=True
    ):
        parameter.grad = torch.tensor(gradient)
    norms = gradient_norms(parameters)
    assert norms[0] == 5
    assert norms.isfinite().tolist() == [True, False, False]


@pytest.mark.parametrize('kind', ['OptimWrapper', 'CPUAmpOptimWrapper'])
@pytest.mark.parametrize('clip', [None, {'max_norm': 0.1}])
def test_guard_changes_no_bit_of_a_sound_training(kind, clip):
    clip_grad = {} if clip is None else {'clip_grad': clip}
    model, wrapper, guard = make(kind, **copy.deepcopy(clip_grad))
    plain = copy.deepcopy(model)
    plain_wrapper = OPTIM_WRAPPERS.build(
        dict(
            type=kind,
            _scope_='mmseg',
            optimizer=torch.optim.AdamW(plain.parameters(), lr=0.1),
            **copy.deepcopy(clip_grad),
        )
    )
    for _ in range(3):
        update(model, wrapper)
        update(plain, plain_wrapper)
    assert same(state(model, wrapper), state(plain, plain_wrapper))
    assert guard.take_rejection() is None


@pytest.mark.parametrize('kind', ['OptimWrapper', 'CPUAmpOptimWrapper'])
@pytest.mark.parametrize('clip', [None, {'max_norm': 0.1}])
@pytest.mark.parametrize('value', BAD)
def test_rejected_update_leaves_no_trace(kind, clip, value):
    clip_grad = {} if clip is None else {'clip_grad': dict(clip)}
    model, wrapper, guard = make(kind, **clip_grad)
    update(model, wrapper)
    before = state(model, wrapper)
    update(model, wrapper, value)
    assert same(state(model, wrapper), before)
    assert all(p.grad is None for p in model.parameters())
    rejection = guard.take_rejection()
    assert len(rejection.parameters) == 4 and rejection.loss_scale is None
    assert guard.take_rejection() is None
    update(model, wrapper)
    assert not same(state(model, wrapper), before)


def test_one_bad_iteration_rejects_the_accumulated_update():
    model, wrapper, guard = make(accumulative_counts=3)
    before = state(model, wrapper)
    for factor in (1.0, BAD[0], 1.0):
        assert guard.take_rejection() is None
        update(model, wrapper, factor)
    assert same(state(model, wrapper), before)
    assert guard.take_rejection() is not None
    for _ in range(3):
        update(model, wrapper)
    assert guard.take_rejection() is None
    assert not same(state(model, wrapper), before)


def test_bad_gradient_of_a_finite_loss_is_told():
    model, wrapper, guard = make()
    before = state(model, wrapper)
    # d sqrt(x) / dx is infinite at zero.
    loss = model(torch.ones(1, 4)).sum() + model[0].bias[0].mul(0).sqrt()
    assert loss.isfinite()
    wrapper.update_params(loss)
    (parameter,) = guard.take_rejection().parameters
    assert parameter is model[0].bias
    assert same(state(model, wrapper), before)


def test_parameters_without_gradient_do_not_matter():
    model, wrapper, guard = make()
    model[0].requires_grad_(False)
    update(model, wrapper)
    assert guard.take_rejection() is None


def test_schedules_count_the_steps_of_a_guarded_optimizer():
    model, wrapper, _ = make()
    torch.manual_seed(0)
    scheduled = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))
    scheduled_wrapper = OptimWrapper(
        torch.optim.AdamW(scheduled.parameters(), lr=0.1)
    )
    # A schedule replaces the wrapper's step before the guard does.
    schedule = ConstantLR(scheduled_wrapper, factor=1.0)
    guard = UpdateGuard(scheduled_wrapper)
    before = copy.deepcopy(scheduled.state_dict())
    update(scheduled, scheduled_wrapper, BAD[0])
    schedule.step()
    assert guard.take_rejection() is not None
    assert same(scheduled.state_dict(), before)
    update(scheduled, scheduled_wrapper)
    schedule.step()
    update(model, wrapper)
    assert same(scheduled.state_dict(), model.state_dict())


class Scaler:
    """As torch's GradScaler: skips overflowing steps and halves its scale."""

    def __init__(self, scale):
        self.scale = scale
        self.asked = 0

    def step(self, optimizer):
        grads = [p.grad for g in optimizer.param_groups for p in g['params']]
        self.asked += 1
        if all(grad.isfinite().all() for grad in grads):
            optimizer.step()
        else:
            self.scale /= 2

    def get_scale(self):
        return self.scale


class ScalingWrapper(OptimWrapper):
    """What mmengine's AmpOptimWrapper does with its scaler."""

    def __init__(self, scale, **kwargs):
        super().__init__(**kwargs)
        self.loss_scaler = Scaler(scale)

    def step(self, **kwargs):
        self.loss_scaler.step(self.optimizer)


def test_overflow_of_a_scaled_loss_lowers_the_scale():
    model = nn.Linear(2, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    wrapper = ScalingWrapper(65536.0, optimizer=optimizer)
    guard = UpdateGuard(wrapper)
    before = model.weight.detach().clone()
    wrapper.update_params(model.weight.sum().mul(0).sqrt())
    rejection = guard.take_rejection()
    assert rejection.loss_scale == 32768
    # A loss that is not finite is no matter of its scale.
    wrapper.update_params(model.weight.sum() * BAD[0])
    assert guard.take_rejection().loss_scale is None
    assert (wrapper.loss_scaler.scale, wrapper.loss_scaler.asked) == (32768, 1)
    assert torch.equal(model.weight, before)
    wrapper.update_params(model.weight.sum())
    assert guard.take_rejection() is None
    assert not torch.equal(model.weight, before)


def test_another_ranks_loss_decides_as_well(monkeypatch):
    model = nn.Linear(2, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    wrapper = ScalingWrapper(4.0, optimizer=optimizer)
    guard = UpdateGuard(wrapper)
    monkeypatch.setattr(
        update_guard, 'all_reduce', lambda data, op: data.zero_()
    )
    wrapper.update_params(model.weight.sum().mul(0).sqrt())
    assert guard.take_rejection().loss_scale is None
    assert wrapper.loss_scaler.asked == 0


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device')
def test_mixed_precision_on_cuda():
    model = nn.Linear(4, 1).cuda()
    wrapper = OPTIM_WRAPPERS.build(
        dict(
            type='AmpOptimWrapper',
            optimizer=torch.optim.AdamW(model.parameters(), lr=0.1),
            clip_grad=dict(max_norm=1.0),
        )
    )
    guard = UpdateGuard(wrapper)
    scale = wrapper.loss_scaler.get_scale()
    for factor in (1.0, BAD[0], 1e30, 1.0):
        before = model.weight.detach().clone()
        with wrapper.optim_context(model):
            loss = model(torch.ones(2, 4).cuda()).float().sum() * factor
        wrapper.update_params(loss)
        rejection = guard.take_rejection()
        assert torch.equal(model.weight, before) == (rejection is not None)
        assert model.weight.isfinite().all()
    assert wrapper.loss_scaler.get_scale() <= scale
