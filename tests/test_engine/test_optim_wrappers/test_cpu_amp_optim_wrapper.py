import torch
import torch.nn as nn
from mmseg.registry import OPTIM_WRAPPERS

import mmcpm  # noqa: F401


def test_forward_in_bfloat16_weights_in_float32():
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    wrapper = OPTIM_WRAPPERS.build(
        dict(
            type='CPUAmpOptimWrapper',
            optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
            accumulative_counts=2,
        )
    )
    before = model.weight.detach().clone()
    for step in range(2):
        with wrapper.optim_context(model):
            output = model(torch.ones(2, 4))
            assert output.dtype == torch.bfloat16
        wrapper.update_params(output.float().sum())
        changed = not torch.equal(model.weight, before)
        assert changed == (step == 1)  # gradients accumulate over two
    assert model.weight.dtype == torch.float32
    # Accumulation divides by the number of steps: gradient 2 in all.
    torch.testing.assert_close(model.weight, before - 0.1 * 2)
