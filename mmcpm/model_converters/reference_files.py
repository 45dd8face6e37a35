"""Files of a parity check: reference tensors, and the layout of weights.

A reference file (``.npz``) holds, for a tensor X of run r, every n-th value in
``r/X|sample`` with n in ``r/X|step``, its ``r/X|shape``, and mean, standard
deviation, minimum and maximum in ``r/X|stats``; for a loss its ``NAME|value``;
and in ``info`` what the inputs of every run were. A layout (``.json``) lists
the keys, shapes and dtypes of a published weight file. Weights and inputs
follow from both by the rule of :mod:`.parity_rule`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmcpm.utils.errors import UsageError

from . import parity_rule


def read_golden(path: str | Path) -> tuple[dict[str, np.ndarray], dict]:
    """Read a reference file.

    Args:
        path (str | Path): An .npz file.

    Returns:
        tuple[dict[str, np.ndarray], dict]: Arrays by name, and ``info``.

    Raises:
        UsageError: If it is none.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
        return arrays, json.loads(str(arrays.pop('info')))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise UsageError(
            f'{path} is no reference file: expected an .npz with arrays and '
            f"'info', a JSON text ({error})"
        ) from error


def read_layout(path: str | Path) -> dict[str, Any]:
    """Read the keys, shapes and dtypes of a published weight file.

    Args:
        path (str | Path): A JSON file.

    Returns:
        dict[str, Any]: With ``model`` and ``keys``.

    Raises:
        UsageError: If it is none.
    """
    try:
        layout = json.loads(Path(path).read_text())
        for _, shape, _ in layout['keys']:
            tuple(map(int, shape))
        if isinstance(layout['model'], str):
            return layout
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is no layout: expected JSON with 'model' and 'keys', a "
            f'list of [key, shape, dtype] ({error})'
        ) from error
    raise UsageError(f"{path} is no layout: 'model' must be a name")


def weights_by_rule(layout: Mapping[str, Any]) -> dict[str, Tensor]:
    """Make the weights of a published file by rule.

    Args:
        layout (Mapping[str, Any]): With ``keys`` and, optionally, the prefix
            of all keys, ``prefix_in_file``.

    Returns:
        dict[str, Tensor]: By the keys of the file, with prefix.
    """
    prefix = layout.get('prefix_in_file') or ''
    state = {}
    for key, shape, dtype in layout['keys']:
        bare = key.removeprefix(prefix)
        value = parity_rule.weight(bare, shape).astype(dtype)
        state[prefix + bare] = torch.from_numpy(value)
    return state


# What models take; the rest of a run's description may be prose.
INPUTS = ('image', 'images', 'pre_masks', 'audio', 'flag', 'vid_flag')


def make_inputs(descriptions: Mapping[str, Any]) -> dict[str, Any]:
    """Make the inputs of a run from their descriptions.

    Args:
        descriptions (Mapping[str, Any]): By name: text for
            :func:`.parity_rule.parse_input`, lists, numbers or None.

    Returns:
        dict[str, Any]: Tensors or None; other entries than :data:`INPUTS` as
        they are.

    Raises:
        UsageError: If an input cannot be made.
    """
    inputs = {}
    for name, value in descriptions.items():
        if name in INPUTS:
            value = parity_rule.parse_input(value)
        if isinstance(value, list | tuple | np.ndarray):
            value = torch.as_tensor(np.asarray(value))
        inputs[name] = value
    return inputs
