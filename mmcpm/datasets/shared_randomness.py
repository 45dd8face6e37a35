"""The same random numbers for all frames of a clip."""

import contextlib
import random
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform


def random_state() -> tuple:
    """Read the state of python's, numpy's and torch's generators.

    Returns:
        tuple: For :func:`set_random_state`.
    """
    return random.getstate(), np.random.get_state(), torch.get_rng_state()


def set_random_state(state: tuple) -> None:
    """Give python's, numpy's and torch's generators a state.

    Args:
        state (tuple): From :func:`random_state`.
    """
    random.setstate(state[0])
    np.random.set_state(state[1])
    torch.set_rng_state(state[2])


class SharedRandomness:
    """Lets every step of a pipeline draw alike for all frames of a clip.

    The first frame draws as it would alone. Before each step, the generators
    are as they were when the first frame came to that step: a step that
    draws more numbers for one frame than for another does not change what
    the steps behind it draw. What mmcv's transforms decide in methods marked
    with ``cache_randomness`` is kept from the first frame, so that a crop
    that looks at the label (``cat_max_ratio``) is one crop.
    """

    def __init__(self) -> None:
        self._states: dict[int, tuple] = {}

    def before_step(self, number: int) -> None:
        """Set the generators for a step.

        Args:
            number (int): Of the step in the pipeline.
        """
        if number in self._states:
            set_random_state(self._states[number])
        else:
            self._states[number] = random_state()


@contextlib.contextmanager
def shared_decisions(steps: Iterable[Any]) -> Iterator[None]:
    """Keep what marked methods of transforms return, until the end.

    mmcv's ``cache_random_params`` leaves wrapped methods behind, which can
    neither be pickled nor copied; its marked methods look at this flag.

    Args:
        steps (Iterable): The pipeline.
    """
    marked = [
        step
        for step in nested_steps(steps)
        if hasattr(step, '_methods_with_randomness')
    ]
    try:
        for step in marked:
            step._cache_enabled = True
        yield
    finally:
        for step in marked:
            step.__dict__.pop('_cache_enabled', None)
            step.__dict__.pop('_cache', None)


def nested_steps(steps: Any) -> Iterator[BaseTransform]:
    """List transforms, and those that they apply.

    Args:
        steps (Any): A transform, or any nesting of them.

    Yields:
        BaseTransform: Each of them.
    """
    if isinstance(steps, BaseTransform):
        yield steps
    if isinstance(steps, Iterable):
        for step in steps:
            yield from nested_steps(step)
