"""Checkpoints made ready to be given away: weights and what names classes.

Of a checkpoint of a training stay the weights, the classes with their palette
and the text of the configuration; optimizer, schedules, logs, random state
and paths of the machine go.
"""

import hashlib
import io
import re
from pathlib import Path
from typing import NamedTuple

import torch

from mmcpm.utils.checkpoints import find_weights, read_checkpoint
from mmcpm.utils.errors import UsageError
from mmcpm.utils.io import ensure_writable, write_whole
from mmcpm.utils.safetensors_files import (
    SUFFIX,
    encode_safetensors,
    import_safetensors,
)

SUFFIXES = {'pth': '.pth', 'safetensors': SUFFIX}
# A longer text of a configuration is left out, bytes.
LARGEST_CONFIG = 1 << 18
HASH_LENGTH = 8
# Ends of names that an earlier publication or a file format gave.
NAME_END = re.compile(rf'(-[0-9a-f]{{{HASH_LENGTH}}})?(\.pth|\.safetensors)?$')
# Beginnings of absolute paths in the text of a configuration.
ABSOLUTE_PATH = re.compile(r"""(?<=['"])(?:/|[A-Za-z]:\\)[^'"\n]*""")


class Publication(NamedTuple):
    """A published file.

    Attributes:
        path (Path): The file.
        num_weights (int): Tensors in it.
        sizes (tuple[int, int]): Size of the checkpoint and of the file,
            bytes.
        notes (list[str]): What was left out, and what a reader of the file
            can see.
    """

    path: Path
    num_weights: int
    sizes: tuple[int, int]
    notes: list[str]


def publish(
    checkpoint: str,
    out: str | Path,
    file_format: str = 'pth',
    with_config: bool = True,
) -> Publication:
    """Write the part of a checkpoint that others need.

    Args:
        checkpoint (str): File of a training.
        out (str | Path): Path of the file to write; its name gets the first
            eight digits of the file's SHA-256 sum and the suffix of the
            format.
        file_format (str): 'pth' or 'safetensors'. Defaults to 'pth'.
        with_config (bool): Whether the text of the configuration is kept.
            Defaults to True.

    Returns:
        Publication: The file, and notes on it.

    Raises:
        UsageError: If the checkpoint is none, or the file cannot be written.
    """
    out = Path(out)
    if out.is_dir():
        raise UsageError(
            f'--out names the file, but {out} is a folder. Give a name in it, '
            f'such as {out / "cpm_r50_avss"}'
        )
    if file_format == 'safetensors':
        import_safetensors()
    content = read_checkpoint(checkpoint)
    ensure_writable(out.absolute().parent, '--out')
    weights = find_weights(content)
    meta, notes = _describe(content.get('meta'), with_config)
    dropped = _left_out(content, weights)
    if dropped:
        notes.append(f'left out: {", ".join(dropped)}')
    if file_format == 'safetensors':
        data = encode_safetensors(weights, meta)
    else:
        file = io.BytesIO()
        # Tensors that are views of larger ones would bring them along.
        plain = {name: value.clone() for name, value in weights.items()}
        torch.save({'state_dict': plain, 'meta': meta}, file)
        data = file.getvalue()
    digest = hashlib.sha256(data).hexdigest()[:HASH_LENGTH]
    stem = NAME_END.sub('', out.name)
    path = out.with_name(f'{stem}-{digest}{SUFFIXES[file_format]}')
    write_whole(path, data, sync=True)
    sizes = Path(checkpoint).stat().st_size, len(data)
    return Publication(path, len(weights), sizes, notes)


def _describe(meta: dict | None, with_config: bool) -> tuple[dict, list[str]]:
    """Choose from the description of a checkpoint what others need."""
    meta = meta if isinstance(meta, dict) else {}
    kept, notes = {}, []
    found = meta.get('dataset_meta') or {}
    lower = {key.lower(): value for key, value in found.items()}
    names = {
        'classes': [str(name) for name in lower.get('classes') or ()],
        'palette': [
            [int(channel) for channel in color]
            for color in lower.get('palette') or ()
        ],
    }
    kept['dataset_meta'] = {
        key: value for key, value in names.items() if value
    }
    if not names['classes']:
        notes.append(
            'the checkpoint does not name its classes (meta.dataset_meta)'
        )
    text = meta.get('cfg')
    if with_config and isinstance(text, str):
        size = len(text.encode())
        if size > LARGEST_CONFIG:
            notes.append(
                f'left out: the text of the config, {size} bytes '
                f'(more than {LARGEST_CONFIG})'
            )
        else:
            kept['cfg'] = text
            if paths := sorted(set(ABSOLUTE_PATH.findall(text))):
                notes.append(
                    'the text of the config shows paths of this machine: '
                    f'{", ".join(paths)}. --no-config leaves the text out'
                )
    return kept, notes


def _left_out(content: dict, weights: dict) -> list[str]:
    """Name the parts of a checkpoint that are not published."""
    if 'state_dict' not in content:
        return sorted(map(str, content.keys() - weights.keys()))
    others = content['state_dict'].keys() - weights.keys()
    parts = content.keys() - {'state_dict', 'meta'}
    return sorted(map(str, {*parts, *others}))
