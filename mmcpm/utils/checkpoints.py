"""Checks of a checkpoint, before a run starts from it.

mmengine loads whatever names match and warns about the rest in the log, so
that a foreign file is tested with random weights.
"""

import os.path as osp
import re
import zipfile
from typing import Any

import torch.nn as nn
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor

from .errors import UsageError
from .safetensors_files import SUFFIX as SAFETENSORS

# Every zip archive, which checkpoints are, begins with these bytes.
ZIP_START = b'PK\x03\x04'
PICKLE_START = b'\x80'
# Parts of a checkpoint that resuming reads.
RESUME_KEYS = ('meta', 'message_hub', 'optimizer')


def read_checkpoint(path: str, resume: bool = False) -> dict:
    """Read a checkpoint and make sure that it is one.

    Args:
        path (str): File or address, as mmengine takes them.
        resume (bool): Whether training is to continue from it, not only to
            use its weights.

    Raises:
        UsageError: If it is missing, cannot be read, or holds no weights,
            numbers that are not finite or, to resume, no training state.
    """
    checkpoint = read_file(path)
    weights = find_weights(checkpoint)
    if not weights:
        raise UsageError(
            f'checkpoint {path} holds no weights: expected a dict of tensors '
            "or one under the key 'state_dict', as tools/train.py writes it"
        )
    check_finite(weights, path)
    missing = [key for key in RESUME_KEYS if key not in checkpoint]
    if resume and missing:
        raise UsageError(
            f'checkpoint {path} cannot be resumed from: it has no '
            f'{", ".join(missing)}. To start from its weights only, use '
            f'--cfg-options load_from={path} without --resume'
        )
    return checkpoint


def read_file(path: str) -> Any:
    """Read a weight file of any program.

    Args:
        path (str): File or address, as mmengine takes them.

    Returns:
        Any: What it holds.

    Raises:
        UsageError: If it is missing, damaged, or cannot be read without
            risk.
    """
    if '://' not in path and not osp.isfile(path):
        kind = ' (it is a folder)' if osp.isdir(path) else ''
        raise UsageError(
            f'checkpoint not found: {osp.abspath(path)}{kind}. Expected a '
            'file such as epoch_1.pth in the work dir of a training'
        )
    try:
        content = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(
            f'checkpoint {path} cannot be read: {why_unreadable(path, error)}'
        ) from error
    if damage := _find_damage(path):
        raise UsageError(
            f'checkpoint {path} is damaged: the checksum of {damage} is '
            'wrong. Use another one'
        )
    return content


def check_finite(weights: dict[str, Tensor], path: str) -> None:
    """Refuse weights of a training that diverged.

    Args:
        weights (dict[str, Tensor]): Weights by name.
        path (str): Their file, for the message.

    Raises:
        UsageError: If there are NaN or infinite numbers.
    """
    broken = [
        name
        for name, value in weights.items()
        if value.is_floating_point() and not value.isfinite().all()
    ]
    if broken:
        raise UsageError(
            f'checkpoint {path} holds NaN or infinite numbers in '
            f'{len(broken)} weights (first: {broken[0]}): its training '
            'diverged. Use an earlier checkpoint'
        )


def why_unreadable(path: str, error: Exception) -> str:
    """Tell what is wrong with a weight file that PyTorch refuses.

    Returns:
        str: Reason, in one line. PyTorch's own advice is to load it without
            caution.
    """
    text = str(error).strip()
    line = text.partition('\n')[0]
    reason = f'{type(error).__name__}: {line[:300]}'
    if not osp.isfile(path):
        return reason
    with open(path, 'rb') as file:
        begin = file.read(16)
    if not begin:
        return 'the file is empty (0 bytes)'
    if path.endswith(SAFETENSORS):
        return f'it is no whole file of safetensors ({reason})'
    if begin.startswith(ZIP_START) and not zipfile.is_zipfile(path):
        return (
            f'the file is truncated ({osp.getsize(path)} bytes arrived). '
            'Fetch it again, or use an earlier checkpoint; --resume without '
            'a name finds the newest whole one'
        )
    if not begin.startswith((ZIP_START, PICKLE_START)):
        return f'it is no file of PyTorch (it begins with {begin!r})'
    if 'weights_only' in text:
        found = re.search(r'GLOBAL (\S+)', text)
        what = f', namely {found.group(1)}' if found else ''
        return (
            f'it holds more than weights and training state{what}, and was '
            'refused, since such a file can run any program. It was not '
            'written by tools/train.py'
        )
    return f'{reason}. It was not written by tools/train.py'


def _find_damage(path: str) -> str:
    """Name the part of a checkpoint whose checksum is wrong, or ''.

    PyTorch reads altered numbers without a word.
    """
    if '://' in path or not zipfile.is_zipfile(path):
        return ''
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() or ''
    except (OSError, zipfile.BadZipFile) as error:
        return str(error)


def check_weights_fit(
    model: nn.Module, checkpoint: dict, path: str, partly: bool = False
) -> None:
    """Compare the weights of a checkpoint with those of a model.

    Args:
        model (nn.Module): The model, possibly wrapped for several ranks or
            for test-time augmentation.
        checkpoint (dict): Checkpoint, as :func:`read_checkpoint` returns it.
        path (str): Its name, for messages.
        partly (bool): Whether it is enough if some weights fit, to start a
            training from.

    Raises:
        UsageError: If weights of the model are missing from the checkpoint
            or have another shape there (``partly``: if none fits).
    """
    model = unwrap(model)
    expected = {
        name: tuple(value.shape)
        for name, value in model.state_dict().items()
        if not name.endswith('num_batches_tracked')
    }
    found = {
        re.sub(r'^module\.', '', name): tuple(value.shape)
        for name, value in find_weights(checkpoint).items()
    }
    missing = [name for name in expected if name not in found]
    reshaped = [
        name
        for name in expected
        if name in found and found[name] != expected[name]
    ]
    num_fitting = len(expected) - len(missing) - len(reshaped)
    if num_fitting and partly or num_fitting == len(expected):
        return
    faults = []
    if missing:
        faults.append(f'{len(missing)} are missing (first: {missing[0]})')
    if reshaped:
        name = reshaped[0]
        faults.append(
            f'{len(reshaped)} have another shape (first: {name}, '
            f'{found[name]} in the file, {expected[name]} in the model)'
        )
    raise UsageError(
        f'checkpoint {path} does not fit the model: of {len(expected)} '
        f'weights, {" and ".join(faults)}. Use the configuration the '
        'checkpoint was trained with'
    )


def unwrap(model: nn.Module) -> nn.Module:
    """Take a model out of its wrappers for ranks and augmentation."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def find_weights(checkpoint: dict) -> dict[str, Tensor]:
    """Find the weights of a checkpoint by name; empty if there are none."""
    if not isinstance(checkpoint, dict):
        return {}
    weights = checkpoint.get('state_dict', checkpoint)
    if not isinstance(weights, dict):
        return {}
    return {k: v for k, v in weights.items() if isinstance(v, Tensor)}
