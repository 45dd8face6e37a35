"""CPM under the ways of training that mmengine offers."""

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from mmengine.optim import OptimWrapper
from mmseg.registry import MODELS

from mmcpm.engine.optim_wrappers import CPUAmpOptimWrapper


@pytest.fixture
def model(cpm_cfg):
    cpm_cfg.decode_head.classifier.em_interval = 2
    torch.manual_seed(0)
    model = MODELS.build(cpm_cfg)
    model.init_weights()
    return model.train()


def mixtures(model):
    return {
        name: buffer.clone()
        for name, buffer in model.decode_head.cls_embed.named_buffers()
    }


def test_mixtures_count_forward_passes_not_updates(model, make_batch):
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    wrapper = OptimWrapper(optimizer, accumulative_counts=2)
    wrapper.initialize_count_status(model, 0, 4)
    weights = []
    for seed in range(4):
        model.train_step(make_batch(seed=seed), wrapper)
        weights.append(model.decode_head.query_feat.weight.detach().clone())
        assert int(mixtures(model)['num_steps']) == seed + 1
    assert torch.equal(weights[1], weights[2])
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[2], weights[3])
    assert int(mixtures(model)['num_updates'].max()) == 2


def test_averaged_weights_go_with_the_newest_mixtures(model, make_batch):
    """What classifies in the validation must be what was learned last."""
    average = ExponentialMovingAverage(model, momentum=0.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    for seed in range(4):
        model.train_step(make_batch(seed=seed), OptimWrapper(optimizer))
        average.update_parameters(model)
    assert int(mixtures(model)['num_updates'].max()) == 2
    for name, buffer in mixtures(average.module).items():
        assert torch.equal(buffer, mixtures(model)[name]), name
    assert not torch.equal(
        average.module.decode_head.query_feat.weight,
        model.decode_head.query_feat.weight,
    )


def test_bfloat16_teaches_mixtures_in_float32(model, make_batch):
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    wrapper = CPUAmpOptimWrapper(optimizer=optimizer)
    for seed in range(4):
        logged = model.train_step(make_batch(seed=seed), wrapper)
        assert all(torch.as_tensor(v).isfinite() for v in logged.values())
    for name, buffer in mixtures(model).items():
        if buffer.dtype.is_floating_point:
            assert buffer.dtype == torch.float32, name
            assert buffer.isfinite().all(), name
    assert int(mixtures(model)['num_updates'].max()) == 2
