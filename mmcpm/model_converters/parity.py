"""The work of tools/model_converters/check_parity.py.

Compares a model of mmcpm with reference tensors of the original program: both
get weights and inputs by the same rule, the weights through the converter.
"""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn as nn
from mmengine.infer import BaseInferencer
from torch import Tensor

from mmcpm.apis.train_and_test import read_config
from mmcpm.utils.errors import UsageError

from . import parity_rule
from .code_base import (
    CODE_BASES,
    CodeBase,
    code_base_of_layout,
    find_code_base,
    wrapper_keys,
)
from .conversion import build_model, convert_weights
from .key_rules import KeyReport, unwrap_weights
from .parity_report import Comparison, ParityReport
from .reference_files import (
    make_inputs,
    read_golden,
    read_layout,
    weights_by_rule,
)

# Largest relative difference of a loss, and what the rounding of a sum of
# terms around 1 may amount to in float32.
LOSS_BAR = 1e-5
LOSS_ROUNDING = 2e-7


def check_parity(
    golden: str | Path,
    layout: str | Path | None = None,
    log: Callable[[str], None] = print,
) -> ParityReport:
    """Compare a model, or losses, with the tensors of a reference file.

    Args:
        golden (str | Path): Reference file, .npz.
        layout (str | Path, optional): Keys, shapes and dtypes of the
            published weights, JSON. Not needed if the file has losses only.
        log (Callable): Told what happens.

    Returns:
        ParityReport: With one comparison per tensor of the file.

    Raises:
        UsageError: If a file is none, or the model is not known.
    """
    archive, info = read_golden(golden)
    names = sorted({k.split('|')[0] for k in archive if '|' in k})
    losses = [name for name in names if f'{name}|value' in archive]
    tensors = [name for name in names if f'{name}|sample' in archive]
    report = ParityReport('', '', [], 0.0, [])
    if tensors:
        if layout is None:
            raise UsageError(f'{golden} needs LAYOUT, the JSON of the keys')
        description = read_layout(layout)
        if info.get('model') != description['model']:
            raise UsageError(
                f'{golden} is of {info.get("model")}, but {layout} of '
                f'{description["model"]}'
            )
        report.model = description['model']
        code_base = code_base_of_layout(report.model)
        report.config = code_base.configs[report.model]
        model, keys = build_by_rule(description, code_base)
        report.keys = keys.lines()
        for line in report.keys:
            log(line)
        for run, inputs in info['inputs'].items():
            wanted = [n for n in tensors if n.split('/')[0] == run]
            started = time.perf_counter()
            with torch.no_grad():
                found = code_base.trace(model, make_inputs(inputs))
            seconds = time.perf_counter() - started
            report.seconds += seconds
            log(f'run {run}: {seconds:.1f} s')
            report.comparisons += [
                compare(
                    archive, name, find_tensor(found, name, run), code_base.bar
                )
                for name in wanted
            ]
    else:
        code_base = None
    report.comparisons += compare_losses(archive, losses, code_base)
    compared = {item.name for item in report.comparisons}
    report.comparisons += [
        Comparison(name, (), math.nan, math.nan, 0.0, 'of no run of the file')
        for name in tensors
        if name not in compared
    ]
    return report


def build_by_rule(
    layout: Mapping[str, Any], code_base: CodeBase
) -> tuple[nn.Module, KeyReport]:
    """Build the model of a layout, and give it the rule's weights.

    Args:
        layout (Mapping[str, Any]): Layout of the published file.
        code_base (CodeBase): What it is of.

    Returns:
        tuple[nn.Module, KeyReport]: The model in evaluation mode, with the
        weights through the converter, and what became of the keys.

    Raises:
        UsageError: If the weights do not fit.
    """
    state = weights_by_rule(layout)
    if code_base.wrapper_key:
        state = {code_base.wrapper_key: state}
    weights = unwrap_weights(state, wrapper_keys())
    found = find_code_base(weights)
    if found is not code_base:
        raise UsageError(
            f'the keys of {layout["model"]} are taken for those of '
            f'{found.name}, not {code_base.name}'
        )
    model = build_model(read_config(str(config_path(code_base, layout))))
    parts = {
        part: {
            key: torch.from_numpy(parity_rule.weight(key, value.shape))
            for key, value in model.get_submodule(part).state_dict().items()
        }
        for part in code_base.separate_parts
    }
    _, report = convert_weights(
        model, weights, code_base, parts, code_base.configs[layout['model']]
    )
    return model, report


def config_path(code_base: CodeBase, layout: Mapping[str, Any]) -> Path:
    """Find the config of a layout, in a checkout or as it is installed."""
    root = Path(BaseInferencer._get_repo_or_mim_dir('mmcpm'))
    return root / code_base.configs[layout['model']]


def find_tensor(
    found: Mapping[str, Tensor | tuple[Tensor, ...]], name: str, run: str
) -> Tensor | tuple[Tensor, ...] | None:
    """Find a tensor of the model by its name in a reference file.

    Args:
        found (Mapping[str, Tensor | tuple[Tensor]]): Tensors of the model;
            several where a name can mean any of them.
        name (str): Name with the run and maybe a remark, such as
            'a/v_map_list[0] as returned'.
        run (str): The run.

    Returns:
        Tensor | tuple[Tensor], optional: What has the same name, or the only
        one whose name is the same up to the first space.
    """
    name = name.removeprefix(f'{run}/')
    if name in found:
        return found[name]
    word = name.split(' ')[0]
    similar = [key for key in found if key.split(' ')[0] == word]
    return found[similar[0]] if len(similar) == 1 else None


def compare(
    archive: Mapping[str, np.ndarray],
    name: str,
    tensor: Tensor | tuple[Tensor, ...] | None,
    bar: Callable[[str, float], float],
) -> Comparison:
    """Compare a tensor with its reference: samples, and statistics of all.

    Args:
        archive (Mapping[str, np.ndarray]): Arrays of the reference file.
        name (str): Name of the tensor there.
        tensor (Tensor | tuple[Tensor], optional): That of the model; of
            several, the closest.
        bar (Callable): Largest difference, from name and deviation.

    Returns:
        Comparison: The result.
    """
    if isinstance(tensor, tuple):
        every = [compare(archive, name, item, bar) for item in tensor]
        # NaN, of another shape, comes last.
        return min(
            every, key=lambda x: (math.isnan(x.difference), x.difference)
        )
    shape = tuple(map(int, archive[f'{name}|shape']))
    stats = archive[f'{name}|stats'].astype(np.float64)
    allowed = bar(name.split('/', 1)[1], float(stats[1]))
    result = Comparison(name, shape, math.nan, float(stats[1]), allowed)
    if tensor is None:
        result.note = 'the model offers no such tensor'
        return result
    values = tensor.detach().double().cpu().numpy().reshape(-1)
    if values.size != math.prod(shape):
        result.note = f'the model has shape {tuple(tensor.shape)}'
        return result
    sample = values[:: int(archive[f'{name}|step'])]
    own = [values.mean(), values.std(), values.min(), values.max()]
    differences = np.concatenate(
        [
            np.abs(sample - archive[f'{name}|sample']).reshape(-1),
            np.abs(np.array(own) - stats[:4]),
        ]
    )
    result.difference = float(differences.max())
    return result


def compare_losses(
    archive: Mapping[str, np.ndarray],
    names: list[str],
    code_base: CodeBase | None,
) -> list[Comparison]:
    """Compare the losses of the code bases with their references.

    Args:
        archive (Mapping[str, np.ndarray]): Arrays of the reference file.
        names (list[str]): Losses in it.
        code_base (CodeBase, optional): The one to ask; all if None.

    Returns:
        list[Comparison]: One per name.
    """
    if not names:
        return []
    asked = CODE_BASES.values() if code_base is None else [code_base]
    found = {k: v for base in asked for k, v in base.losses().items()}
    comparisons = []
    for name in names:
        expected = float(archive[f'{name}|value'])
        value = float(found.get(name, math.nan))
        comparisons.append(
            Comparison(
                name,
                (),
                abs(value - expected),
                abs(expected),
                max(LOSS_BAR * abs(expected), LOSS_ROUNDING),
                '' if name in found else 'no code base offers this loss',
            )
        )
    return comparisons
