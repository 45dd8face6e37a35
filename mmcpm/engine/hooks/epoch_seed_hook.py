"""Seeds that depend on the epoch, not on what happened before it.

mmengine stores no random state, and seeds data-loading workers alike in every
epoch: its resumed run sees other random numbers than the run it continues.
"""

import random
from collections.abc import Iterator

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from mmseg.registry import HOOKS


def epoch_seed(seed: int, epoch: int, rank: int) -> int:
    """Mix seed, epoch and rank into one independent seed.

    Args:
        seed (int): Seed of the run.
        epoch (int): Counted from 0; the iteration where there are none.
        rank (int): Rank of the process.

    Returns:
        int: Seed in 0 .. 2**32 - 1.
    """
    sequence = np.random.SeedSequence((seed, epoch, rank))
    return int(sequence.generate_state(1, np.uint32)[0])


def seed_everything(seed: int) -> None:
    """Seed python's, numpy's and torch's generators (all devices)."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def seed_worker(worker_id: int) -> None:
    """Seed a data-loading worker from its torch seed.

    A DataLoader draws that seed from the main process's generator whenever it
    starts its workers, thus after the hook has seeded the epoch.
    """
    seed_everything(torch.initial_seed() % 2**32)


def run_seed(runner) -> int:
    """Return the seed that all ranks of a run have in common.

    Args:
        runner (Runner): Runner of the run. With ``diff_rank_seed`` its seed is
            that of its rank.
    """
    different = runner._randomness_cfg.get('diff_rank_seed', False)
    return runner.seed - get_rank() if different else runner.seed


def nested_datasets(dataset) -> list:
    """List a dataset and everything it wraps."""
    found = [dataset]
    for inner in (
        getattr(dataset, 'dataset', None),
        *getattr(dataset, 'datasets', ()),
    ):
        if inner is not None:
            found.extend(nested_datasets(inner))
    return found


def has_no_epochs(runner) -> bool:
    """Tell whether a training counts iterations only.

    Its one "epoch" ends with the training: what others report after epochs,
    it reports before validations.
    """
    return isinstance(getattr(runner, '_train_loop', None), IterBasedTrainLoop)


def samplers(dataloader) -> list:
    """List the samplers of a dataloader that have a seed."""
    found = (
        dataloader.sampler,
        getattr(dataloader.batch_sampler, 'sampler', None),
    )
    return [sampler for sampler in found if hasattr(sampler, 'seed')]


class SeededBatches:
    """The batches of an IterBasedTrainLoop, each with a seed of its own.

    A resumed loop begins by skipping the batches that were trained on: here
    they are counted, and so the first one it trains on finds, and leaves to
    the model, the random numbers of the uninterrupted run.

    Args:
        batches (Iterator[dict]): Batches of the loop.
        seed (int): Seed of the run.
    """

    def __init__(self, batches: Iterator[dict], seed: int) -> None:
        self._batches = batches
        self._seed = seed
        self._count = 0

    def __iter__(self) -> Iterator[dict]:
        return self

    def __next__(self) -> dict:
        seed_everything(epoch_seed(self._seed, self._count, get_rank()))
        self._count += 1
        return next(self._batches)


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Reseeds all generators before every epoch.

    Together with deterministic operators this makes a resumed run reach
    bitwise the weights of an uninterrupted one, with any number of workers.
    An IterBasedTrainLoop is reseeded before every iteration; its workers go
    on as they began, and repeat what they drew when a resumed run skips the
    batches behind it.
    """

    # Before any hook that draws random numbers.
    priority = 'VERY_HIGH'

    def before_train(self, runner) -> None:
        """Make the seeds of sampler, workers and batches follow the run's.

        Raises:
            ValueError: If workers outlive the epoch.
        """
        loop, dataloader = runner.train_loop, runner.train_loop.dataloader
        if isinstance(loop, IterBasedTrainLoop):
            self._warn_of_started_workers(runner)
            loop.dataloader_iterator = SeededBatches(
                loop.dataloader_iterator, run_seed(runner)
            )
        elif not isinstance(loop, EpochBasedTrainLoop):
            runner.logger.warning(
                'EpochSeedHook knows EpochBasedTrainLoop and '
                f'IterBasedTrainLoop, but got {type(loop).__name__}: a '
                'resumed run will not repeat the random numbers of an '
                'uninterrupted one.'
            )
            return
        elif dataloader.persistent_workers:
            raise ValueError(
                'Persistent workers keep the random state of earlier epochs, '
                'which no checkpoint holds. Set '
                'train_dataloader.persistent_workers=False (a fork per epoch '
                'is cheap), or leave EpochSeedHook out of custom_hooks and '
                'do without exact resuming: frames and augmentations are '
                'drawn anew all the same.'
            )
        dataloader.worker_init_fn = seed_worker
        # Resuming restores the run's seed after the sampler was built.
        for sampler in samplers(dataloader):
            sampler.seed = run_seed(runner)

    @staticmethod
    def _warn_of_started_workers(runner) -> None:
        """Tell that the loop's workers began with another seed."""
        dataloader, seed = runner.train_loop.dataloader, run_seed(runner)
        started = {sampler.seed for sampler in samplers(dataloader)} - {seed}
        if runner._resume and dataloader.num_workers and started:
            runner.logger.warning(
                f'The checkpoint is of seed {seed}, but the workers of '
                'IterBasedTrainLoop began with seed '
                f'{", ".join(map(str, started))} before it was read: the '
                'batches are others than those of an uninterrupted run. '
                f'Resume with --seed {seed} to have the same.'
            )

    def before_train_epoch(self, runner) -> None:
        """Seed the epoch."""
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            seed = epoch_seed(run_seed(runner), runner.epoch, get_rank())
            seed_everything(seed)
