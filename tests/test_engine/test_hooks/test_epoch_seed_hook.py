import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn as nn
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch.utils.data import Dataset

import mmcpm  # noqa: F401
from mmcpm.engine.hooks.epoch_seed_hook import (
    epoch_seed,
    nested_datasets,
    run_seed,
)


class Draws(Dataset):
    """Yields what the three generators give in a worker."""

    metainfo = {}

    def __init__(self):
        self.seed = -1
        self.epoch = -1

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return 4

    def __getitem__(self, index):
        draw = [
            random.random(),
            np.random.rand(),
            torch.rand(1).item(),
            self.epoch,
            self.seed,
            index,
        ]
        return dict(inputs=torch.tensor(draw, dtype=torch.float64))


class Recorder(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.seen = []

    def forward(self, inputs, mode='loss'):
        self.seen.append(torch.stack(inputs))
        return dict(loss=self.weight.sum() + torch.rand(1) * 0)


def train(tmp_path, epochs, workers, seed=5, resume=False, **loader):
    init_default_scope('mmseg')
    model = Recorder()
    Runner(
        model=model,
        work_dir=str(tmp_path),
        train_dataloader=dict(
            batch_size=2,
            num_workers=workers,
            dataset=Draws(),
            sampler=dict(type='DefaultSampler', shuffle=True),
            collate_fn=dict(type='pseudo_collate'),
            **loader,
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(
            checkpoint=dict(type='AtomicCheckpointHook', interval=1)
        ),
        custom_hooks=[dict(type='EpochSeedHook')],
        randomness=dict(seed=seed),
        resume=resume,
        experiment_name=f'{tmp_path.name}_{epochs}_{seed}_{resume}',
        default_scope='mmseg',
    ).train()
    return torch.cat(model.seen)


@pytest.mark.parametrize('workers', [0, 2])
def test_resumed_epochs_draw_what_uninterrupted_ones_draw(tmp_path, workers):
    whole = train(tmp_path / 'whole', 3, workers)
    first = train(tmp_path / 'parts', 1, workers)
    rest = train(tmp_path / 'parts', 3, workers, resume=True)
    torch.testing.assert_close(torch.cat([first, rest]), whole, rtol=0, atol=0)


def test_epochs_and_seeds_differ_and_reach_the_dataset(tmp_path):
    draws = train(tmp_path / 'a', 2, 0)
    assert draws[:4, 3].tolist() == [0] * 4
    assert draws[4:, 3].tolist() == [1] * 4
    assert set(draws[:, 4].tolist()) == {5}
    other = train(tmp_path / 'b', 2, 0, seed=6)
    for column in range(3):
        values = torch.cat([draws[:, column], other[:, column]])
        assert values.unique().numel() == 16


def test_workers_draw_independently(tmp_path):
    draws = train(tmp_path / 'a', 2, 2)
    for column in range(3):
        assert draws[:, column].unique().numel() == 8


def test_ranks_draw_independently():
    seeds = {
        epoch_seed(seed, epoch, rank)
        for seed in range(4)
        for epoch in range(4)
        for rank in range(4)
    }
    assert len(seeds) == 64
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_persistent_workers_are_refused(tmp_path):
    with pytest.raises(ValueError, match='persistent_workers=False'):
        train(tmp_path, 1, 1, persistent_workers=True)


def test_wrapped_datasets_are_found():
    inner = Draws()

    class Wrapper:
        dataset = inner

    class Concat:
        datasets = [Wrapper(), Draws()]

    assert inner in nested_datasets(Concat())
    assert len(nested_datasets(Concat())) == 4


def test_ranks_agree_on_the_seed_of_the_run(monkeypatch):
    """mmengine adds the rank to the seed if it is told to."""
    hook = 'mmcpm.engine.hooks.epoch_seed_hook.get_rank'
    monkeypatch.setattr(hook, lambda: 2)
    runner = SimpleNamespace(seed=7, _randomness_cfg={})
    assert run_seed(runner) == 7
    runner = SimpleNamespace(seed=9, _randomness_cfg={'diff_rank_seed': True})
    assert run_seed(runner) == 7


def test_sampler_follows_the_seed_that_is_resumed(tmp_path):
    """mmengine builds the sampler before it reads the checkpoint."""
    whole = train(tmp_path / 'whole', 3, 0, seed=5)
    train(tmp_path / 'parts', 1, 0, seed=5)
    rest = train(tmp_path / 'parts', 3, 0, seed=6, resume=True)
    torch.testing.assert_close(rest, whole[4:], rtol=0, atol=0)
