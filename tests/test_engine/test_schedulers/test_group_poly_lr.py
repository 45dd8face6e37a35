"""The rate of some groups decays, that of others does not."""

import pytest
import torch
import torch.nn as nn
from mmengine.registry import init_default_scope
from mmseg.registry import PARAM_SCHEDULERS


def test_decay_of_one_group():
    init_default_scope('mmseg')
    optimizer = torch.optim.SGD(
        [
            dict(params=[nn.Parameter(torch.zeros(1))], lr=0.1),
            dict(
                params=[nn.Parameter(torch.zeros(1))],
                lr=0.3,
                constant_lr=True,
            ),
        ]
    )
    scheduler = PARAM_SCHEDULERS.build(
        dict(
            type='GroupPolyLR',
            power=0.9,
            eta_min=1e-8,
            end=2,
            convert_to_iter_based=True,
        ),
        default_args=dict(optimizer=optimizer, epoch_length=5),
    )
    rates = []
    for _ in range(10):
        rates.append([group['lr'] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    assert [constant for _, constant in rates] == [0.3] * 10
    # mmengine reaches the end one iteration early.
    expected = [0.1 * (1 - k / 9) ** 0.9 for k in range(10)]
    assert [rate for rate, _ in rates] == pytest.approx(expected, abs=2e-8)
