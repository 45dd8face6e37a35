from types import SimpleNamespace

import pytest
import torch
import torch.nn as nn
from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.model import ExponentialMovingAverage

from mmcpm.engine.hooks import BatchNormSyncHook, batch_norm_sync_hook
from mmcpm.engine.hooks.batch_norm_sync_hook import running_statistics


def test_only_statistics_of_single_ranks_are_averaged():
    own = nn.BatchNorm2d(3)
    model = nn.Sequential(
        own,
        nn.SyncBatchNorm(3),
        nn.GroupNorm(1, 3),
        nn.BatchNorm1d(3, track_running_stats=False),
        nn.BatchNorm2d(3).eval(),  # Frozen: the same on all ranks.
    )
    statistics = running_statistics(model)
    assert [id(x) for x in statistics] == [
        id(own.running_mean),
        id(own.running_var),
    ]


def test_they_are_averaged_once_after_training(monkeypatch):
    """A second time would round again, away from the checkpoint."""

    def average(tensors, op):
        assert op == 'mean'
        for tensor in tensors:
            tensor.add_(1)

    monkeypatch.setattr(batch_norm_sync_hook, 'all_reduce_params', average)
    monkeypatch.setattr(batch_norm_sync_hook, 'get_world_size', lambda: 2)
    model, hook = nn.BatchNorm2d(2), BatchNormSyncHook()
    runner = SimpleNamespace(model=model, hooks=[])
    hook.before_val_epoch(runner)
    assert torch.equal(model.running_mean, torch.zeros(2))
    hook.after_train_iter(runner, 0)
    hook.after_train_epoch(runner)
    hook.before_val_epoch(runner)
    assert torch.equal(model.running_mean, torch.ones(2))
    hook.after_train_iter(runner, 0)
    hook.before_val_epoch(runner)
    assert torch.equal(model.running_var, torch.full((2,), 3.0))


def test_one_rank_has_nothing_to_average(monkeypatch):
    monkeypatch.setattr(batch_norm_sync_hook, 'all_reduce_params', None)
    hook = BatchNormSyncHook()
    hook.after_train_iter(None, 0)
    hook.after_train_epoch(SimpleNamespace(model=nn.BatchNorm2d(2), hooks=[]))


@pytest.mark.parametrize(('interval', 'saves'), [(1, True), (5, False)])
def test_checkpoints_within_epochs_and_averaged_models_have_the_averages(
    monkeypatch, interval, saves
):
    """A checkpoint after iterations is written by the first rank alone."""

    def average(tensors, op):
        for tensor in tensors:
            tensor.add_(1)

    monkeypatch.setattr(batch_norm_sync_hook, 'all_reduce_params', average)
    monkeypatch.setattr(batch_norm_sync_hook, 'get_world_size', lambda: 2)
    model, hook = nn.BatchNorm2d(2), BatchNormSyncHook()
    ema = EMAHook()
    ema.ema_model = ExponentialMovingAverage(model)
    checkpoint = CheckpointHook(by_epoch=False, interval=interval)
    runner = SimpleNamespace(
        model=model, hooks=[hook, ema, checkpoint], iter=1, max_iters=9
    )
    hook.after_train_iter(runner, 1)
    for statistics in (model, ema.ema_model.module):
        expected = torch.full((2,), float(saves))
        assert torch.equal(statistics.running_mean, expected)
