"""The work of tools/model_converters/convert.py.

Reads a published weight file, finds the code base it is of, renames its
weights for the model of a config, and writes a checkpoint that loads strictly.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import Tensor

from mmcpm.apis.model_loading import find_dataset_meta, resolve_config
from mmcpm.compat import revert_sync_bn
from mmcpm.utils.checkpoints import check_finite, read_file
from mmcpm.utils.errors import UsageError, shorten
from mmcpm.utils.io import ensure_writable, write_whole
from mmcpm.utils.safetensors_files import (
    SUFFIX,
    encode_safetensors,
    import_safetensors,
)
from mmcpm.version import __version__

from .code_base import CodeBase, find_code_base, wrapper_keys
from .key_rules import KeyReport, convert_keys, unwrap_weights


class Conversion(NamedTuple):
    """A converted file.

    Attributes:
        path (Path): The new file.
        code_base (CodeBase): What the old one is of.
        report (KeyReport): What became of its keys.
        parts (dict[str, str]): Parts whose weights came from elsewhere, and
            from where.
    """

    path: Path
    code_base: CodeBase
    report: KeyReport
    parts: dict[str, str]


def convert(
    checkpoint: str,
    config: str,
    out: str | Path,
    part_files: Mapping[str, str] | None = None,
) -> Conversion:
    """Write a published weight file as a checkpoint of mmcpm.

    Args:
        checkpoint (str): The published file (PyTorch's or safetensors).
        config (str): Config, or name of the model, that it is meant for.
        out (str | Path): New file, .pth or .safetensors.
        part_files (Mapping[str, str], optional): Weight files of parts that
            the published file lacks, by the name of the part, such as
            'audio_backbone'. Defaults to those that the config names.

    Returns:
        Conversion: The file, and what became of the keys.

    Raises:
        UsageError: If the file is another one than the config needs.
    """
    out = Path(out)
    if out.suffix not in ('.pth', SUFFIX):
        raise UsageError(f'OUT must end with .pth or {SUFFIX}: {out}')
    if out.suffix == SUFFIX:
        import_safetensors()
    ensure_writable(out.absolute().parent, 'OUT')
    cfg, _ = resolve_config(config)
    weights = read_weights(checkpoint)
    code_base = find_code_base(weights)
    check_head_type(code_base, weights, cfg, config)
    # What the published file lacks.
    sources, others = dict(part_files or {}), {}
    for part in code_base.separate_parts:
        source = sources.setdefault(part, pretrained_file(cfg, part))
        if not source:
            raise UsageError(
                f'{code_base.name} keeps the weights of {part} in a file of '
                'their own, which is not given, and the config names none '
                f'(model.{part}.init_cfg). Give --part {part} FILE'
            )
        others[part] = read_weights(source)
    unused = sources.keys() - set(code_base.separate_parts)
    if unused:
        raise UsageError(
            f'{checkpoint} is a file of {code_base.name}, which takes '
            f'weights of {shorten(code_base.separate_parts)} from elsewhere, '
            f'not of {shorten(sorted(unused))}'
        )
    model = build_model(cfg)
    state, report = convert_weights(model, weights, code_base, others, config)
    check_finite(state, checkpoint)
    write_checkpoint(out, state, cfg, code_base)
    return Conversion(out, code_base, report, sources)


def read_weights(path: str) -> dict[str, Tensor]:
    """Read the weights of a file of any program, without their prefix.

    Args:
        path (str): File or address.

    Raises:
        UsageError: If there are none.
    """
    weights = unwrap_weights(read_file(path), wrapper_keys())
    if not weights:
        raise UsageError(
            f'{path} holds no weights: expected a dict of tensors, or one '
            f'under {shorten(wrapper_keys())}'
        )
    return weights


def pretrained_file(cfg: Config, part: str) -> str:
    """Find the weight file that a config names for a part of its model."""
    init_cfg = (cfg.model.get(part) or {}).get('init_cfg') or {}
    return init_cfg.get('checkpoint', '')


def check_head_type(
    code_base: CodeBase, weights: dict[str, Tensor], cfg: Config, config: str
) -> None:
    """Refuse a config of another method than the file's.

    Args:
        code_base (CodeBase): What the file is of.
        weights (dict[str, Tensor]): Its weights.
        cfg (Config): The config.
        config (str): Its name, for the message.

    Raises:
        UsageError: Names the method of both and the configs that fit.
    """
    head = cfg.model.decode_head.type
    if head != code_base.head:
        raise UsageError(
            f'the file is of {_described(code_base, weights)}, but the '
            f'decode head of {config} is a {head}. Configs for the file: '
            f'{shorten(sorted(set(code_base.configs.values())), 20)}'
        )


def build_model(cfg: Config) -> nn.Module:
    """Build the model of a config on the CPU, without pretrained weights.

    Args:
        cfg (Config): The config.

    Returns:
        nn.Module: In evaluation mode.
    """
    init_default_scope(cfg.get('default_scope') or 'mmseg')
    revert_sync_bn(cfg.model)
    return MODELS.build(cfg.model).eval()


def convert_weights(
    model: nn.Module,
    weights: dict[str, Tensor],
    code_base: CodeBase,
    parts: Mapping[str, dict[str, Tensor]],
    config: str,
) -> tuple[dict[str, Tensor], KeyReport]:
    """Rename the weights of a file, and load them strictly into a model.

    Args:
        model (nn.Module): The model of the config; it gets the weights.
        weights (dict[str, Tensor]): Weights by the keys of the file.
        code_base (CodeBase): What the file is of.
        parts (Mapping[str, dict[str, Tensor]]): Bare weights of the parts
            that the file lacks; what the model does not need of them is
            left out.
        config (str): Name of the config, for messages.

    Returns:
        tuple[dict[str, Tensor], KeyReport]: Weights by the names of the
        model, and the report.

    Raises:
        UsageError: If weights are missing, left over or of another shape.
    """
    what = _described(code_base, weights)
    try:
        state, report = convert_keys(weights, code_base.rules(weights))
    except UsageError as error:
        raise UsageError(f'the file is of {what}, but {error}') from error
    expected = model.state_dict()
    for part, own in parts.items():
        for name, value in own.items():
            if (full := f'{part}.{name}') in expected:
                state[full] = value.detach().float().clone()
    for name, value in expected.items():
        # Frozen normalizations count nothing (detectron2's FrozenBN).
        own, _, kind = name.rpartition('.')
        if kind == 'num_batches_tracked' and f'{own}.running_var' in state:
            state.setdefault(name, torch.zeros_like(value))
    missing = sorted(expected.keys() - state.keys())
    extra = sorted(state.keys() - expected.keys())
    reshaped = [
        f'{name} ({tuple(state[name].shape)} in the file, '
        f'{tuple(value.shape)} in the model)'
        for name, value in expected.items()
        if name in state and state[name].shape != value.shape
    ]
    faults = [
        f'{len(names)} weights {fault}: {shorten(names, 3)}'
        for names, fault in (
            (reshaped, 'have another shape'),
            (missing, 'are missing'),
            (extra, 'are unknown to the model'),
        )
        if names
    ]
    if faults:
        raise UsageError(
            f'the file is of {what} and does not fit {config}: '
            f'{"; ".join(faults)}. Configs for files of this code base: '
            f'{shorten(sorted(set(code_base.configs.values())), 20)}'
        )
    model.load_state_dict(state, strict=True)
    return state, report


def write_checkpoint(
    out: Path, state: dict[str, Tensor], cfg: Config, code_base: CodeBase
) -> None:
    """Write weights and what describes them, whole or not at all.

    Args:
        out (Path): New file.
        state (dict[str, Tensor]): Weights by the names of the model.
        cfg (Config): Config, whose dataset names the classes.
        code_base (CodeBase): Where the weights come from.
    """
    meta = {'converted_from': code_base.name, 'mmcpm_version': __version__}
    found = find_dataset_meta(cfg, None)
    if found.get('classes'):
        meta['dataset_meta'] = {
            'classes': [str(name) for name in found['classes']],
            'palette': [list(map(int, c)) for c in found['palette'] or ()],
        }
    if out.suffix == SUFFIX:
        data = encode_safetensors(state, meta)
    else:
        file = io.BytesIO()
        torch.save({'state_dict': state, 'meta': meta}, file)
        data = file.getvalue()
    write_whole(out, data, sync=True)


def _described(code_base: CodeBase, weights: dict[str, Tensor]) -> str:
    """Name a code base and, where it can tell, the model of a file."""
    variant = code_base.variant(weights)
    return f'{code_base.name} ({variant})' if variant else code_base.name
