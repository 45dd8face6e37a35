"""Which labeled frames of a clip a sample stands for, and which it shows."""

import functools
from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import get_worker_info

from .metadata.index_table import SPLITS

FRAME_SAMPLINGS = ('random', 'all')


def choose_sampling(
    frame_sampling: str | None, split: str, test_mode: bool
) -> str:
    """Complete the arguments that say which frames are samples.

    Args:
        frame_sampling (str, optional): 'random', 'all', or None: 'random'
            for training on 'train', else 'all'.
        split (str): 'train', 'val' or 'test'.
        test_mode (bool): Whether samples are for evaluation.

    Returns:
        str: 'random' or 'all'.

    Raises:
        ValueError: If there is no such split or sampling, or an evaluation
            shall draw frames.
    """
    if split not in SPLITS:
        raise ValueError(f'split must be one of {SPLITS}, got {split!r}')
    trains = split == 'train' and not test_mode
    if frame_sampling is None:
        return 'random' if trains else 'all'
    if frame_sampling not in FRAME_SAMPLINGS or (
        frame_sampling == 'random' and not trains
    ):
        raise ValueError(
            f'frame_sampling={frame_sampling!r} with split={split!r} and '
            f'test_mode={test_mode}: expected one of {FRAME_SAMPLINGS}, '
            "and 'all' for every evaluation, which scores all frames"
        )
    return frame_sampling


def make_items(item: dict, frames: Sequence[int], sampling: str) -> list[dict]:
    """Make the items of the data list that stand for a clip.

    Args:
        item (dict): What all of them hold.
        frames (Sequence[int]): The labeled frames of the clip.
        sampling (str): 'random': one item for all frames; 'all': one each.

    Returns:
        list[dict]: Items with ``frames``.
    """
    choices = (
        [tuple(frames)] if sampling == 'random' else [(i,) for i in frames]
    )
    return [{**item, 'frames': choice} for choice in choices]


@functools.lru_cache(maxsize=1)
def _worker_generator(seed: int) -> torch.Generator:
    """Make the generator of a data-loading process, once."""
    return torch.Generator().manual_seed(seed)


def draw_frame(frames: Sequence[int], rank: int = 0) -> int:
    """Draw the frame that a visit of a clip shows.

    The main process draws from PyTorch's generator. A data-loading process
    draws from one of its own: mmengine seeds PyTorch's there, alike in every
    epoch. The seed of the process is new whenever a DataLoader starts, and
    comes from the main process's generator: who seeds that one (as
    EpochSeedHook does) repeats the draws.

    Args:
        frames (Sequence[int]): The labeled frames of the clip.
        rank (int): Rank of the process among those that train together: they
            may have the same seed, and shall not draw alike.

    Returns:
        int: One of ``frames``, each with equal probability.
    """
    if len(frames) == 1:
        return frames[0]
    worker = get_worker_info()
    generator = None if worker is None else _worker_generator(worker.seed)
    number = int(torch.randint(2**62, (), generator=generator))
    return frames[
        int(np.random.default_rng((rank, number)).integers(len(frames)))
    ]
