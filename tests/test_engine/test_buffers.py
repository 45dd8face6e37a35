from types import SimpleNamespace

import torch
import torch.nn as nn
from mmengine.optim import LinearLR, OptimWrapper

from mmcpm.engine.buffers import BufferKeeper, EpochRates


def test_buffers_of_any_kind_are_kept():
    model = nn.Module()
    model.register_buffer('kept', torch.tensor([1.0]))
    model.register_buffer('count', torch.tensor(3), persistent=False)
    model.register_buffer('none', None)
    model.register_buffer('grown', torch.zeros(2))
    keeper = BufferKeeper(model)
    keeper.keep()
    held = model.kept
    model.kept.mul_(5)
    model.count += 1
    model.grown = torch.ones(4)
    keeper.restore()
    assert model.kept is held and model.kept == 1
    assert model.count == 3
    assert torch.equal(model.grown, torch.zeros(2))
    model.grown = torch.ones(4)
    keeper.keep()
    model.grown[0] = 7
    keeper.restore()
    assert torch.equal(model.grown, torch.ones(4))


def test_model_without_buffers():
    keeper = BufferKeeper(nn.Linear(2, 2))
    keeper.keep()
    keeper.restore()


def test_rates_go_back_to_the_begin_of_the_epoch():
    weight = nn.Parameter(torch.zeros(1))
    optim_wrapper = OptimWrapper(torch.optim.SGD([weight], lr=1.0))
    schedule = LinearLR(optim_wrapper, start_factor=0.5, end=11)
    runner = SimpleNamespace(
        param_schedulers=[schedule], optim_wrapper=optim_wrapper
    )

    def steps(number):
        rates = []
        for _ in range(number):
            rates.append(optim_wrapper.get_lr()['lr'][0])
            schedule.step()
        return rates

    assert steps(3) == [0.5, 0.55, 0.6]
    rates = EpochRates(runner)
    first = steps(4)
    rates.restore()
    assert steps(4) == first


def test_training_without_schedules():
    weight = nn.Parameter(torch.zeros(1))
    optim_wrapper = OptimWrapper(torch.optim.SGD([weight], lr=1.0))
    rates = EpochRates(
        SimpleNamespace(param_schedulers=None, optim_wrapper=optim_wrapper)
    )
    optim_wrapper.optimizer.param_groups[0]['lr'] = 7.0
    rates.restore()
    assert optim_wrapper.get_lr() == {'lr': [1.0]}
