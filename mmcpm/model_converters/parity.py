"""The work of tools/model_converters/check_parity.py.

Compares a model of mmcpm with reference tensors of the original program: both
get weights and inputs by the same rule, the weights through the converter.

A reference file (``.npz``) holds, for a tensor X of run r, every n-th value in
``r/X|sample`` with n in ``r/X|step``, its ``r/X|shape``, and mean, standard
deviation, minimum and maximum in ``r/X|stats``; for a loss its ``NAME|value``;
and in ``info`` what the inputs of every run were.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn as nn
from mmengine.infer import BaseInferencer
from torch import Tensor

from mmcpm.apis.train_and_test import read_config
from mmcpm.utils.errors import UsageError, shorten

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

# Largest relative difference of a loss, and what the rounding of a sum of
# terms around 1 may amount to in float32.
LOSS_BAR = 1e-5
LOSS_ROUNDING = 2e-7


@dataclass
class Comparison:
    """One tensor, or one loss, beside its reference.

    Attributes:
        name (str): Name in the reference file.
        shape (tuple[int]): Shape there; empty for a loss.
        difference (float): Largest absolute difference; NaN if the model
            has no such tensor.
        scale (float): Standard deviation of the reference tensor, or the
            absolute value of the reference loss.
        bar (float): Largest difference that is allowed.
        note (str): Why there is no difference, if there is none.
    """

    name: str
    shape: tuple[int, ...]
    difference: float
    scale: float
    bar: float
    note: str = ''

    @property
    def passed(self) -> bool:
        """Whether the difference is within its bar; NaN is not."""
        return self.difference <= self.bar

    @property
    def relative(self) -> float:
        """The difference divided by the scale."""
        return self.difference / self.scale if self.scale else math.nan


@dataclass
class ParityReport:
    """Result of a parity check.

    Attributes:
        model (str): Layout, such as 'tpavi_r50_s4'; empty for losses.
        config (str): Config of the model.
        keys (list[str]): What became of the keys of the layout, in lines.
        seconds (float): Duration of all forward passes.
        comparisons (list[Comparison]): One per tensor of the file.
    """

    model: str
    config: str
    keys: list[str]
    seconds: float
    comparisons: list[Comparison]

    @property
    def passed(self) -> bool:
        """Whether every tensor of the file is within its bar."""
        return all(item.passed for item in self.comparisons)

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON.

        Returns:
            dict[str, Any]: With ``passed``, also of every comparison.
        """
        return {
            'passed': self.passed,
            'torch': torch.__version__,
            **asdict(self),
            'comparisons': [
                {
                    **asdict(item),
                    'relative': item.relative,
                    'passed': item.passed,
                }
                for item in self.comparisons
            ],
        }

    def table(self) -> str:
        """All comparisons as a table of text.

        Returns:
            str: Lines: tensor, shape, difference, relative, bar, result.
        """
        head = ('tensor', 'shape', 'max diff', 'relative', 'bar', '')
        lines = [head]
        for item in self.comparisons:
            result = 'ok' if item.passed else 'FAIL'
            lines.append(
                (
                    item.name,
                    ' x '.join(map(str, item.shape)),
                    f'{item.difference:.2e}',
                    f'{item.relative:.2e}',
                    f'{item.bar:.2e}',
                    f'{result} {item.note}'.strip(),
                )
            )
        widths = [max(len(line[k]) for line in lines) for k in range(5)]
        return '\n'.join(
            '  '.join(
                text.ljust(width)
                for text, width in zip(line, [*widths, 0], strict=True)
            ).rstrip()
            for line in lines
        )


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


def make_inputs(descriptions: Mapping[str, Any]) -> dict[str, Any]:
    """Make the inputs of a run from their descriptions.

    Args:
        descriptions (Mapping[str, Any]): By name: text for
            :func:`.parity_rule.parse_input`, lists, numbers or None; prose
            under 'call' or 'note' is kept.

    Returns:
        dict[str, Any]: Tensors, None or prose.
    """
    inputs = {}
    for name, value in descriptions.items():
        if name not in ('call', 'note'):
            value = parity_rule.parse_input(value)
        if isinstance(value, list | tuple | np.ndarray):
            value = torch.as_tensor(np.asarray(value))
        inputs[name] = value
    return inputs


def find_tensor(
    found: Mapping[str, Tensor], name: str, run: str
) -> Tensor | None:
    """Find a tensor of the model by its name in a reference file.

    Args:
        found (Mapping[str, Tensor]): Tensors of the model.
        name (str): Name with the run and maybe a remark, such as
            'a/v_map_list[0] as returned'.
        run (str): The run.

    Returns:
        Tensor, optional: The tensor whose name is the same, or the only one
        whose name is the same up to the first space.
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
    tensor: Tensor | None,
    bar: Callable[[str, float], float],
) -> Comparison:
    """Compare a tensor with its reference: samples, and statistics of all.

    Args:
        archive (Mapping[str, np.ndarray]): Arrays of the reference file.
        name (str): Name of the tensor there.
        tensor (Tensor, optional): That of the model.
        bar (Callable): Largest difference, from name and deviation.

    Returns:
        Comparison: The result.
    """
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


def failed_names(report: ParityReport) -> str:
    """Name what is not within its bar.

    Args:
        report (ParityReport): Result of a check.

    Returns:
        str: Names, the first ones if there are many.
    """
    return shorten([i.name for i in report.comparisons if not i.passed])
