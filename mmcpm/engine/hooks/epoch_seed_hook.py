"""Randomness that depends on the epoch, not on what happened before it.

mmengine stores no random state, and seeds data-loading workers alike in every
epoch: its resumed run sees other random numbers than the run it continues.
"""

import random

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop
from mmseg.registry import HOOKS


def epoch_seed(seed: int, epoch: int, rank: int) -> int:
    """Mix seed, epoch and rank into one independent seed.

    Args:
        seed (int): Of the run.
        epoch (int): Counted from 0.
        rank (int): Of the process.

    Returns:
        int: In 0 .. 2**32 - 1.
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

    Args:
        worker_id (int): Part of the torch seed already.
    """
    seed_everything(torch.initial_seed() % 2**32)


def run_seed(runner) -> int:
    """Return the seed that all ranks of a run have in common.

    Args:
        runner (Runner): Of the run. With ``diff_rank_seed`` its seed is that
            of its rank.

    Returns:
        int: The seed.
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


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Reseeds all generators and tells the dataset the epoch.

    Together with deterministic operators this makes a resumed run reach
    bitwise the weights of an uninterrupted one, with any number of workers.
    Datasets with ``set_epoch`` draw their random frames from the epoch; their
    ``seed`` follows the run's.
    """

    # Before any hook that draws random numbers.
    priority = 'VERY_HIGH'

    def before_train(self, runner) -> None:
        """Make the workers' seeds follow the epoch.

        Args:
            runner (Runner): Of the training.

        Raises:
            ValueError: If workers outlive the epoch.
        """
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            runner.logger.warning(
                'EpochSeedHook works with EpochBasedTrainLoop only, but got '
                f'{type(runner.train_loop).__name__}: a resumed run will not '
                'repeat the random numbers of an uninterrupted one.'
            )
            return
        dataloader = runner.train_loop.dataloader
        if dataloader.persistent_workers:
            raise ValueError(
                'Persistent workers keep the random state of earlier epochs, '
                'which no checkpoint holds. Set '
                'train_dataloader.persistent_workers=False (a fork per epoch '
                'is cheap), or remove EpochSeedHook and do without exact '
                'resuming.'
            )
        dataloader.worker_init_fn = seed_worker
        # Resuming restores the run's seed after the sampler was built.
        batch_sampler = dataloader.batch_sampler
        for sampler in (
            dataloader.sampler,
            getattr(batch_sampler, 'sampler', None),
        ):
            if hasattr(sampler, 'seed'):
                sampler.seed = run_seed(runner)
        for dataset in nested_datasets(dataloader.dataset):
            if hasattr(dataset, 'set_epoch') and hasattr(dataset, 'seed'):
                dataset.seed = run_seed(runner)

    def before_train_epoch(self, runner) -> None:
        """Seed the epoch.

        Args:
            runner (Runner): Of the training.
        """
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            return
        for dataset in nested_datasets(runner.train_loop.dataloader.dataset):
            if hasattr(dataset, 'set_epoch'):
                dataset.set_epoch(runner.epoch)
        seed_everything(epoch_seed(run_seed(runner), runner.epoch, get_rank()))
