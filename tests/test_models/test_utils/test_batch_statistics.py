import copy
from pathlib import Path

import pytest
import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.models.backbones import ResNet
from mmseg.registry import MODELS
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.modules import batchnorm

from mmcpm.models.utils.batch_statistics import (
    frozen_running_statistics,
    has_batch_statistics,
)

CONFIGS = Path(__file__).resolve().parents[3] / 'configs'
# In one process SyncBatchNorm computes what BatchNorm does, on any device,
# but by a forward pass of its own.
KINDS = (nn.BatchNorm2d, nn.SyncBatchNorm)


def network(kind=nn.BatchNorm2d, momentum=0.1):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        kind(4, momentum=momentum),
        nn.ReLU(),
        nn.Sequential(nn.GroupNorm(2, 4), kind(4)),
        kind(4, track_running_stats=False),
        kind(4),
    )
    # As a backbone's norm_eval leaves it in training.
    model[5].running_var.fill_(3.0)
    model[5].eval()
    return model


def encoder(with_cp):
    """A residual network, in training."""
    torch.manual_seed(0)
    model = ResNet(
        depth=18,
        in_channels=1,
        base_channels=4,
        stem_channels=4,
        with_cp=with_cp,
        norm_cfg=dict(type='BN'),
    )
    model.train()
    return model


def remembered(model):
    """The buffers themselves, and copies of their values."""
    buffers = dict(model.named_buffers())
    return buffers, copy.deepcopy(buffers)


def assert_untouched(model, before):
    buffers, values = before
    after = dict(model.named_buffers())
    assert after.keys() == buffers.keys()
    for name, buffer in after.items():
        # The same tensor: averages and distributed wrappers hold on to it.
        assert buffer is buffers[name], name
        assert torch.equal(buffer, values[name]), name


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('momentum', [0.1, None])
def test_outputs_are_the_same_and_nothing_is_remembered(kind, momentum):
    model, twin = network(kind, momentum), network(kind, momentum)
    images = torch.randn(3, 1, 8, 8) + 2
    expected = twin(images)
    before = remembered(model)
    with frozen_running_statistics(model):
        assert torch.equal(model(images), expected)
        assert torch.equal(model(images), expected)
        with frozen_running_statistics(model):
            assert torch.equal(model(images), expected)
        assert torch.equal(model(images), expected)
    assert_untouched(model, before)
    assert [m.momentum for m in (model[1], model[3][1])] == [momentum, 0.1]
    # Afterwards it learns as if nothing had been.
    model(images)
    assert model[1].num_batches_tracked == 1
    for name, value in twin.state_dict().items():
        assert torch.equal(model.state_dict()[name], value)


@pytest.mark.parametrize('kind', KINDS)
def test_gradients_flow(kind):
    model, twin = network(kind), network(kind)
    images = torch.randn(3, 1, 8, 8)
    with frozen_running_statistics(model):
        output = model(images)
    output.square().sum().backward()
    twin(images).square().sum().backward()
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)


@pytest.mark.parametrize('kind', KINDS)
def test_an_error_inside_leaves_no_trace(kind):
    model, twin = network(kind), network(kind)
    images = torch.randn(3, 1, 8, 8)
    before = remembered(model)
    with (
        pytest.raises(ZeroDivisionError),
        frozen_running_statistics(model),
    ):
        model(images)
        _ = 1 / 0
    assert_untouched(model, before)
    model(images)
    twin(images)
    for name, value in twin.state_dict().items():
        assert torch.equal(model.state_dict()[name], value)


@pytest.mark.parametrize('kind', KINDS)
def test_evaluation_uses_running_statistics_as_ever(kind):
    model = network(kind).eval()
    model[1].running_mean.fill_(3.0)
    images = torch.randn(3, 1, 8, 8)
    expected = model(images)
    with frozen_running_statistics(model):
        assert torch.equal(model(images), expected)


def test_norms_of_single_samples_remember_as_well():
    norm = nn.InstanceNorm2d(4, track_running_stats=True, affine=True)
    assert has_batch_statistics(norm)
    images = torch.randn(3, 4, 8, 8)
    expected = norm(images)
    before = remembered(norm)
    with frozen_running_statistics(norm):
        assert torch.equal(norm(images), expected)
    assert_untouched(norm, before)
    norm.eval()
    assert not has_batch_statistics(norm)
    expected = norm(images)
    with frozen_running_statistics(norm):
        assert torch.equal(norm(images), expected)
    assert not has_batch_statistics(nn.InstanceNorm2d(4))


def test_a_backward_pass_that_computes_again_leaves_no_trace():
    """Activation checkpointing, of the sounds and of their mixtures."""
    sounds, mixtures = torch.randn(2, 2, 1, 64, 64)
    grads = []
    for with_cp in (True, False):
        model, twin = encoder(with_cp), encoder(with_cp)
        twin(sounds)[-1].sum().backward()
        total = model(sounds)[-1].sum()
        with frozen_running_statistics(model):
            total = total + model(mixtures)[-1].sum()
        total.backward()
        assert all(block.with_cp == with_cp for block in model.layer1)
        for one, other in zip(model.buffers(), twin.buffers(), strict=True):
            assert torch.equal(one, other)
        grads.append([p.grad for p in model.parameters()])
    for one, other in zip(*grads, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_several_ranks_share_moments_and_remember_none(monkeypatch):
    """What SyncBatchNorm hands to the function that asks the other ranks."""
    told = []

    def apply(images, weight, bias, mean, variance, eps, momentum, *group):
        told.append((mean, variance, group))
        return images

    monkeypatch.setattr(batchnorm.sync_batch_norm, 'apply', apply)
    monkeypatch.setattr(torch.distributed, 'is_initialized', lambda: True)
    monkeypatch.setattr(torch.distributed, 'get_world_size', lambda group: 2)
    with FakeTensorMode(), torch.device('cuda'):
        norm = nn.SyncBatchNorm(4)
        images = torch.randn(2, 4, 8, 8)
        norm(images)
        with frozen_running_statistics(norm):
            norm(images)
        norm(images)
    ranks = (None, 2)
    own = (norm.running_mean, norm.running_var, ranks)
    for got, expected in zip(
        told, (own, (None, None, ranks), own), strict=True
    ):
        assert all(a is b for a, b in zip(got[:2], expected[:2], strict=True))
        assert got[2] == expected[2]


def test_who_has_batch_statistics():
    model = network()
    assert has_batch_statistics(model)
    model[4] = nn.Identity()
    assert not has_batch_statistics(model.eval())
    model[3].train()
    assert has_batch_statistics(model)
    assert not has_batch_statistics(nn.Sequential(nn.GroupNorm(2, 4)))
    assert has_batch_statistics(nn.SyncBatchNorm(4))
    assert not has_batch_statistics(nn.SyncBatchNorm(4).eval())


@pytest.mark.parametrize('kind', KINDS)
def test_without_running_statistics_there_are_those_of_the_batch(kind):
    norm = kind(4, track_running_stats=False).eval()
    images = torch.randn(2, 4, 3, 3)
    assert not torch.equal(norm(images)[:1], norm(images[:1]))
    assert has_batch_statistics(norm)


def test_vpo_takes_a_step_with_its_sync_batch_norms(make_batch):
    """As on several GPUs, where nothing turns SyncBN into BN."""
    init_default_scope('mmseg')
    cfg = Config.fromfile(CONFIGS / 'cpm/cpm_r50_vpo_ss.py').model
    cfg.backbone.update(depth=18, init_cfg=None)
    cfg.audio_backbone.update(init_cfg=None, base_channels=8, stem_channels=8)
    cfg.audio_neck.in_channels = [16, 32, 64]
    cfg.audio_frontend.num_frames = 32
    cfg.decode_head.in_channels = [64, 128, 256, 512]
    cfg.decode_head.train_cfg.num_points = 64
    cfg.data_preprocessor.size = (64, 64)
    model = MODELS.build(cfg).train()
    data = make_batch(samples=model.audio_frontend.min_samples)
    for sample, label in zip(data['data_samples'], (1, 2), strict=True):
        sample.audio = sample.audio.expand(2, -1)
        sample.set_metainfo(dict(audio_labels=(label,)))
    losses = model(**model.data_preprocessor(data, True), mode='loss')
    assert all(value.isfinite().all() for value in losses.values())
    norms = [
        part
        for part in model.audio_backbone.modules()
        if isinstance(part, nn.SyncBatchNorm)
    ]
    assert len(norms) == 20
    # Clean sounds are remembered, mixtures are not.
    assert {int(norm.num_batches_tracked) for norm in norms} == {1}
