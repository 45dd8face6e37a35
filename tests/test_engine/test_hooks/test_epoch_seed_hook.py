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
from mmcpm.datasets.frame_sampling import draw_frame
from mmcpm.engine.hooks.epoch_seed_hook import (
    epoch_seed,
    nested_datasets,
    run_seed,
)


class Draws(Dataset):
    """Yields what the three generators give in a worker."""

    metainfo = {}

    def __len__(self):
        return 4

    def __getitem__(self, index):
        draw = [
            random.random(),
            np.random.rand(),
            torch.rand(1).item(),
            draw_frame(range(1000)),
            index,
        ]
        return dict(inputs=torch.tensor(draw, dtype=torch.float64))


class Recorder(BaseModel):
    """Notes its batches, and a random number of its own after each."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.seen = []

    def forward(self, inputs, mode='loss'):
        batch = torch.stack(inputs)
        own = torch.rand(1, dtype=torch.float64).expand(len(batch), 1)
        self.seen.append(torch.cat([batch, own], 1))
        return dict(loss=self.weight.sum())


def train(
    tmp_path,
    epochs,
    workers,
    seed=5,
    resume=False,
    loop='epochs',
    hooks=(dict(type='EpochSeedHook'),),
    sampler='DefaultSampler',
    **loader,
):
    """Train with two batches of two per epoch; return what was drawn."""
    init_default_scope('mmseg')
    model = Recorder()
    by_epoch = loop == 'epochs'
    number = {'max_epochs': epochs} if by_epoch else {'max_iters': 2 * epochs}
    Runner(
        model=model,
        work_dir=str(tmp_path),
        train_dataloader=dict(
            batch_size=2,
            num_workers=workers,
            dataset=Draws(),
            sampler=dict(type=sampler, shuffle=True),
            collate_fn=dict(type='pseudo_collate'),
            **loader,
        ),
        train_cfg=dict(by_epoch=by_epoch, **number),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(
            checkpoint=dict(
                type='AtomicCheckpointHook', interval=1, by_epoch=by_epoch
            )
        ),
        custom_hooks=list(hooks),
        randomness=dict(seed=seed),
        resume=resume,
        experiment_name='_'.join(
            map(str, (*tmp_path.parts[-2:], epochs, seed, resume))
        ),
        default_scope='mmseg',
    ).train()
    return torch.cat(model.seen)


@pytest.mark.parametrize('workers', [0, 2])
def test_resumed_epochs_draw_what_uninterrupted_ones_draw(tmp_path, workers):
    whole = train(tmp_path / 'whole', 3, workers)
    first = train(tmp_path / 'parts', 1, workers)
    rest = train(tmp_path / 'parts', 3, workers, resume=True)
    torch.testing.assert_close(torch.cat([first, rest]), whole, rtol=0, atol=0)


@pytest.mark.parametrize('sampler', ['InfiniteSampler', 'DefaultSampler'])
@pytest.mark.parametrize('workers', [0, 2])
def test_resumed_iterations_draw_what_uninterrupted_ones_draw(
    tmp_path, monkeypatch, workers, sampler
):
    # mmengine waits two seconds before it starts the data anew.
    monkeypatch.setattr('time.sleep', lambda seconds: None)
    kwargs = dict(loop='iterations', sampler=sampler)
    whole = train(tmp_path / 'whole', 3, workers, **kwargs)
    first = train(tmp_path / 'parts', 1, workers, **kwargs)
    rest = train(tmp_path / 'parts', 3, workers, resume=True, **kwargs)
    torch.testing.assert_close(torch.cat([first, rest]), whole, rtol=0, atol=0)
    assert whole[:, 0].unique().numel() == len(whole) == 12


def test_epochs_and_seeds_differ(tmp_path):
    draws = train(tmp_path / 'a', 2, 0)
    other = train(tmp_path / 'b', 2, 0, seed=6)
    for column in range(4):
        values = torch.cat([draws[:, column], other[:, column]])
        assert values.unique().numel() == 16


@pytest.mark.parametrize(
    ('loop', 'sampler', 'workers', 'loader'),
    [
        ('epochs', 'DefaultSampler', 0, {}),
        ('epochs', 'DefaultSampler', 2, {}),
        ('epochs', 'DefaultSampler', 1, dict(persistent_workers=True)),
        ('iterations', 'DefaultSampler', 1, {}),
        ('iterations', 'DefaultSampler', 1, dict(persistent_workers=True)),
        ('iterations', 'InfiniteSampler', 0, {}),
        ('iterations', 'InfiniteSampler', 2, dict(prefetch_factor=1)),
    ],
)
def test_frames_change_without_the_hook(
    tmp_path, monkeypatch, loop, sampler, workers, loader
):
    """mmengine seeds workers alike whenever it starts them."""
    monkeypatch.setattr('time.sleep', lambda seconds: None)
    draws = train(
        tmp_path, 4, workers, loop=loop, sampler=sampler, hooks=(), **loader
    )
    visits = {
        index: draws[draws[:, 4] == index, 3].tolist() for index in range(4)
    }
    assert [len(frames) for frames in visits.values()] == [4] * 4
    # Of a thousand frames: two of the sixteen may be the same.
    assert len({f for frames in visits.values() for f in frames}) >= 14
    assert all(len(set(frames)) >= 3 for frames in visits.values())


def test_workers_of_another_seed_are_told(tmp_path):
    kwargs = dict(loop='iterations', sampler='InfiniteSampler')
    train(tmp_path, 1, 1, seed=5, **kwargs)
    train(tmp_path, 2, 1, seed=6, resume=True, **kwargs)
    logs = ''.join(p.read_text() for p in tmp_path.glob('*/*.log'))
    assert 'Resume with --seed 5 to have the same' in logs


def test_workers_draw_independently(tmp_path):
    draws = train(tmp_path / 'a', 2, 2)
    for column in range(4):
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
