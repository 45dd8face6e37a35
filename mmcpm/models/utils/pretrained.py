"""Tells which part of a model misses its pretrained weights."""

import contextlib
import re
import socket
from collections.abc import Iterator

import torch.nn as nn
from mmengine.model import PretrainedInit
from mmengine.registry import WEIGHT_INITIALIZERS
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor

from mmcpm.utils.checkpoints import why_unreadable
from mmcpm.utils.config_types import is_type

# Seconds to wait for a server that does not answer; a firewall may swallow
# requests, and PyTorch would wait for minutes.
PATIENCE = 15


def pretrained_cfg(module: nn.Module) -> dict | None:
    """Find out which weight file a part starts from.

    Args:
        module (nn.Module): Any; its ``init_cfg`` may be a list.

    Returns:
        dict, optional: Its ``init_cfg`` of type 'Pretrained'.
    """
    init_cfg = getattr(module, 'init_cfg', None)
    for cfg in [init_cfg] if isinstance(init_cfg, dict) else init_cfg or ():
        if is_type(cfg, PretrainedInit, WEIGHT_INITIALIZERS):
            return cfg
    return None


def pretrained_parts(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield name and module of the parts that start from a weight file.

    Args:
        model (nn.Module): Its modules' ``init_cfg`` of type 'Pretrained' are
            looked for.
    """
    for name, module in model.named_modules():
        if pretrained_cfg(module) is not None:
            yield name, module


def forget_pretrained_weights(model: nn.Module) -> None:
    """Let no part read its weight file: a checkpoint has all the weights.

    Args:
        model (nn.Module): About to be resumed.
    """
    for _, module in list(pretrained_parts(model)):
        module.init_cfg = None


def check_pretrained_weights(model: nn.Module) -> None:
    """Make sure that every pretrained weight file of a model can be used.

    Files behind an address are fetched into PyTorch's cache on the way, where
    the initialization finds them. mmengine would start from random weights
    where a file does not fit, with a warning in the log.

    Args:
        model (nn.Module): With parts whose ``init_cfg`` is 'Pretrained'. A
            part that renames the weights of its file does so in its method
            ``convert_pretrained(checkpoint)``.

    Raises:
        RuntimeError: Names the part, the file and the options that help.
    """
    for name, module in pretrained_parts(model):
        init_cfg = pretrained_cfg(module)
        checkpoint = init_cfg['checkpoint']
        option = f'model.{name}.init_cfg' if name else 'model.init_cfg'
        part = name or 'the model'
        try:
            with connection_timeout(PATIENCE):
                state = CheckpointLoader.load_checkpoint(
                    checkpoint, map_location='cpu'
                )
        except Exception as error:
            raise RuntimeError(
                f'The pretrained weights of {part} could not be read from '
                f'{checkpoint} ({why_unreadable(checkpoint, error)}). If this '
                'machine has no network, fetch the file elsewhere and name it '
                f'with --cfg-options {option}.checkpoint=FILE; to start from '
                f'random weights: --cfg-options {option}=None'
            ) from error
        if convert := getattr(module, 'convert_pretrained', None):
            state = convert(state)
        fitting, expected = count_fitting(
            module, state, init_cfg.get('prefix')
        )
        if 2 * fitting < expected:
            raise RuntimeError(
                f'{checkpoint} is not a weight file for {part}: of the '
                f'{expected} weights of its {type(module).__name__}, '
                f'{fitting} are there with the same name and shape. Name '
                f'another file with --cfg-options {option}.checkpoint=FILE; '
                f'to start from random weights: --cfg-options {option}=None'
            )


@contextlib.contextmanager
def connection_timeout(seconds: float) -> Iterator[None]:
    """Limit how long a connection may be silent.

    Args:
        seconds (float): For every attempt to connect and to read.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def count_fitting(
    module: nn.Module, checkpoint: dict, prefix: str | None = None
) -> tuple[int, int]:
    """Count the weights that a file has for a part.

    Args:
        module (nn.Module): The part.
        checkpoint (dict): Tensors by name, or such a dict under
            'state_dict'.
        prefix (str, optional): Prefix of the part's weights in the file.

    Returns:
        tuple[int, int]: Weights of the same name and shape, weights needed.
    """
    state = checkpoint.get('state_dict', checkpoint)
    folder = re.escape(prefix.rstrip('.') + '.') if prefix else ''
    beginning = rf'^(module\.)?{folder}'
    found = {
        re.sub(beginning, '', name): value.shape
        for name, value in state.items()
        if isinstance(value, Tensor) and re.match(beginning, name)
    }
    needed = {
        name: value.shape
        for name, value in module.state_dict().items()
        if not name.endswith('num_batches_tracked')
    }
    fitting = sum(found.get(name) == shape for name, shape in needed.items())
    return fitting, len(needed)
