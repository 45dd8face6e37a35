"""Checkpoints in the format of safetensors, which holds tensors only.

The format needs the package ``safetensors``, which is imported when such a
file is written or read. Importing this module lets mmengine's loader, and so
``load_from`` and tools/test.py, take local files of that suffix.
"""

import json
from types import ModuleType

from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor

from .errors import UsageError

SUFFIX = '.safetensors'
META_KEY = 'mmcpm_meta'


def import_safetensors() -> ModuleType:
    """Import the optional package.

    Raises:
        UsageError: If it is not installed.
    """
    try:
        import safetensors.torch
    except ImportError as error:
        raise UsageError(
            f'{SUFFIX} files need the package safetensors, which is not '
            'installed: pip install safetensors. A .pth file needs no '
            'package'
        ) from error
    return safetensors


def encode_safetensors(weights: dict[str, Tensor], meta: dict) -> bytes:
    """Encode weights, and what describes them, as a safetensors file.

    Args:
        weights (dict[str, Tensor]): Weights by name, any shapes and dtypes.
        meta (dict): What JSON can hold.

    Returns:
        bytes: The file; equal for equal arguments.
    """
    package = import_safetensors()
    # The format refuses tensors that share memory.
    plain = {
        name: value.detach().cpu().clone().contiguous()
        for name, value in weights.items()
    }
    return package.torch.save(plain, {META_KEY: json.dumps(meta)})


@CheckpointLoader.register_scheme(
    prefixes=rf'(?!\w+://).*\{SUFFIX}$', force=True
)
def load_from_safetensors(filename: str, map_location=None) -> dict:
    """Read a file of safetensors as mmengine reads a checkpoint.

    Args:
        filename (str): Path of a local file.
        map_location (str | torch.device, optional): Device of the tensors.
            Defaults to the CPU.

    Returns:
        dict: ``state_dict`` and ``meta``; the latter is empty if another
        program wrote the file.
    """
    package = import_safetensors()
    device = str(map_location or 'cpu')
    with package.safe_open(filename, 'pt', device=device) as file:
        described = (file.metadata() or {}).get(META_KEY, '{}')
        names = file.keys()
        weights = {name: file.get_tensor(name) for name in names}
    return {'state_dict': weights, 'meta': json.loads(described)}
