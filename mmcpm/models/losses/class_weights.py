"""The weight of each class in the class loss, from a list or a file."""

import copy
import io
import math
from collections.abc import Sequence

import mmengine.fileio as fileio
import numpy as np
from mmengine.config import ConfigDict

NO_OBJECT_WEIGHT = 0.1


def weigh_classes(
    loss_cls: dict, num_classes: int, no_object_weight: float | None = None
) -> ConfigDict:
    """Give a class loss one weight per class.

    Args:
        loss_cls (dict): Its config; ``class_weight`` as for
            :func:`class_weights`.
        num_classes (int): Number of classes, with the background.
        no_object_weight (float, optional): Weight of "no object".

    Returns:
        ConfigDict: A copy with the list of weights.
    """
    loss_cls = ConfigDict(copy.deepcopy(dict(loss_cls)))
    loss_cls.class_weight = class_weights(
        loss_cls.get('class_weight'), num_classes, no_object_weight
    )
    return loss_cls


def class_weights(
    setting: Sequence[float] | str | dict | None,
    num_classes: int,
    no_object_weight: float | None = None,
) -> list[float]:
    """Read the setting ``class_weight`` of a class loss.

    Args:
        setting (Sequence[float] | str | dict, optional): One weight per
            class, background first, and maybe that of "no object" at the
            end, as mmdet writes it; or a file of them (json, yaml or npy);
            or ``dict(frequencies=LIST_OR_FILE, power=0.5)``, see
            :func:`weights_from_frequencies`. None, also for the frequencies:
            all classes weigh 1.
        num_classes (int): Number of classes C, with the background.
        no_object_weight (float, optional): Weight of "no object". None: that
            of the list, or 0.1 if it has none.

    Returns:
        list[float]: C + 1 weights, "no object" last.

    Raises:
        ValueError: If their number or a value cannot be right, or if the
            weight of "no object" is given twice.
    """
    if setting is None:
        weights = [1.0] * num_classes
    elif isinstance(setting, dict):
        wrong = set(setting) - {'frequencies', 'power'}
        if wrong or 'frequencies' not in setting:
            raise ValueError(
                'class_weight as a dict has the keys frequencies and, '
                f'optionally, power, but got {sorted(setting)}.'
            )
        frequencies = setting['frequencies']
        if frequencies is None:
            frequencies = [1.0] * num_classes
        weights = weights_from_frequencies(
            read_numbers(frequencies, 'frequencies', num_classes),
            setting.get('power', 0.5),
        )
    else:
        weights = read_numbers(setting, 'class_weight', num_classes, True)
    if len(weights) == num_classes:
        if no_object_weight is None:
            no_object_weight = NO_OBJECT_WEIGHT
        (last,) = read_numbers([no_object_weight], 'no_object_weight', 1)
        return [*weights, last]
    if no_object_weight is not None:
        raise ValueError(
            f'The weight of "no object" is given twice: {weights[-1]:g} as '
            f'number {num_classes + 1} of class_weight, and no_object_weight='
            f'{no_object_weight}. Leave one of them out.'
        )
    return weights


def weights_from_frequencies(
    frequencies: Sequence[float], power: float = 0.5
) -> list[float]:
    """Let rare classes weigh more: ``w_k = f_k ** -power``, of mean 1.

    Power 0.5 is the inverse square root, 1 the inverse (median frequency
    balancing, up to a factor, which the class loss does not see).

    Args:
        frequencies (Sequence[float]): How often each class occurs, background
            first: frames, pixels or shares. Not negative.
        power (float): 0 or more.

    Returns:
        list[float]: One weight per class, of mean 1 over the classes that
        occur. A class that never does has nothing to learn and weighs 1.

    Raises:
        ValueError: If no class occurs, or the power is no such number.
    """
    if not (math.isfinite(power) and power >= 0):
        raise ValueError(f'power must be 0 or more, but got {power}.')
    counts = np.asarray(frequencies, dtype=np.float64)
    occurs = counts > 0
    if not occurs.any():
        raise ValueError('frequencies are all 0: no class occurs.')
    weights = np.ones(len(counts))
    # Of shares, so that no count overflows.
    raw = (counts[occurs] / counts.max()) ** -power
    weights[occurs] = raw / raw.mean()
    return weights.tolist()


def read_numbers(
    setting: Sequence[float] | str,
    name: str,
    expected: int,
    one_more: bool = False,
) -> list[float]:
    """Read a list of numbers that are finite and not negative.

    Args:
        setting (Sequence[float] | str): The numbers, or a file of them.
        name (str): What they are, for messages.
        expected (int): How many there must be.
        one_more (bool): Whether there may be one more.

    Returns:
        list[float]: The numbers.

    Raises:
        ValueError: Tells what was expected and what arrived.
    """
    source = name
    if isinstance(setting, str):
        source = f'{name} ({setting})'
        if setting.endswith('.npy'):
            data = io.BytesIO(fileio.get(setting))
            setting = np.load(data, allow_pickle=False)
        elif setting.endswith(('.json', '.yaml', '.yml')):
            setting = fileio.load(setting)
        else:
            raise ValueError(
                f'{source} must be a json, yaml or npy file of numbers.'
            )
    numbers = np.asarray(setting)
    if numbers.ndim != 1 or not (
        np.issubdtype(numbers.dtype, np.number) and np.isrealobj(numbers)
    ):
        raise ValueError(
            f'{source} must be a list of numbers, but got {setting!r}.'
        )
    counts = (expected, expected + 1) if one_more else (expected,)
    if len(numbers) not in counts:
        also = f' (or {expected + 1}, "no object" last)' if one_more else ''
        raise ValueError(
            f'{source} must hold {expected} numbers, one per class with the '
            f'background first{also}, but holds {len(numbers)}.'
        )
    for index, number in enumerate(numbers.tolist()):
        if not (math.isfinite(number) and number >= 0):
            raise ValueError(
                f'{source} must be finite and not negative, but number '
                f'{index} (class {index}) is {number}.'
            )
    return [float(number) for number in numbers]
