"""Reading of what trainings logged.

mmengine writes one JSON object per line to ``vis_data/scalars.json``: of
training iterations (with ``iter``), and of validations and hooks, whose
``step`` is the epoch where a training counts in epochs.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmcpm.utils.errors import UsageError

SCALARS = 'vis_data/scalars.json'
# What a line says of itself, not of the training.
COUNTERS = ('iter', 'epoch', 'step')
# Logged of training iterations and of validations.
COSTS = ('time', 'data_time', 'memory')


@dataclass
class Run:
    """What one training logged.

    Attributes:
        name (str): Name in tables and legends.
        curves (dict[str, list[tuple[float, float]]]): Of each key, where it
            was logged (iteration or epoch) and its value.
        units (dict[str, str]): Of each key, 'iteration' or 'epoch'.
        not_finite (dict[str, int]): Of each key, values that are no number,
            which are not drawn.
    """

    name: str
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    not_finite: dict[str, int] = field(default_factory=dict)

    def values(self, key: str) -> list[float]:
        """List the values of a key, in order; empty if it was not logged."""
        return [value for _, value in self.curves.get(key, ())]


def find_logs(path: str | Path) -> list[Path]:
    """Find the logs of a run.

    Args:
        path (str | Path): Work dir of a training, one of its folders, or a
            file of scalars.

    Returns:
        list[Path]: Its files, one per start of the training, oldest first.

    Raises:
        UsageError: If there are none.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.exists():
        raise UsageError(f'no log is there: {path.absolute()} does not exist')
    found = sorted(path.glob(f'*/{SCALARS}'))
    for inner in (path / SCALARS, path / 'scalars.json'):
        found += [inner] if inner.is_file() else []
    if not found:
        raise UsageError(
            f'{path.absolute()} holds no {SCALARS}, neither itself nor in its '
            'folders. Expected the work dir of a training of tools/train.py, '
            'or the file'
        )
    return found


def read_run(path: str | Path, name: str) -> Run:
    """Read a run over all its resumptions.

    What a training logged before it was interrupted, and once more after it
    was resumed, counts as it was logged last.

    Raises:
        UsageError: If there is no log, or a file is none.
    """
    run = Run(name)
    for file in find_logs(path):
        lines = read_lines(file)
        by_epoch = any('iter' in line and 'epoch' in line for line in lines)
        fresh = Run(name)
        for line in lines:
            _add_line(fresh, line, by_epoch)
        for key, points in fresh.curves.items():
            start = points[0][0]
            before = [p for p in run.curves.get(key, ()) if p[0] < start]
            run.curves[key] = before + points
        run.units |= fresh.units
        for key, count in fresh.not_finite.items():
            run.not_finite[key] = run.not_finite.get(key, 0) + count
    if not run.curves:
        raise UsageError(f'{Path(path).absolute()}: nothing is logged yet')
    return run


def read_lines(file: Path) -> list[dict]:
    """Read a file of scalars.

    The last line is left out if it is not whole: the training is writing it,
    or was killed.

    Raises:
        UsageError: If it is no such file.
    """
    try:
        texts = file.read_text().split('\n')
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f'{file} cannot be read as text: {error}') from error
    lines = []
    for number, text in enumerate(texts, 1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
        except ValueError:
            line = None
            if number == len(texts) and lines:
                break
        if not isinstance(line, dict):
            raise UsageError(
                f'{file}, line {number}: expected a JSON object per line, as '
                f'{SCALARS} of a training has, but found {text[:60]!r}'
            )
        lines.append(line)
    return lines


def _add_line(run: Run, line: dict, by_epoch: bool) -> None:
    """Sort the values of one line into the curves."""
    unit = 'iteration' if 'iter' in line or not by_epoch else 'epoch'
    place = line.get('iter', line.get('step'))
    if place is None:
        return
    # A validation is timed per iteration of its own.
    is_training = 'iter' in line
    for key, value in line.items():
        is_number = isinstance(value, int | float)
        if key in COUNTERS or not is_number or isinstance(value, bool):
            continue
        if key in COSTS and not is_training:
            key = f'val/{key}'
        run.units[key] = unit
        run.curves.setdefault(key, [])
        if math.isfinite(value):
            run.curves[key].append((place, value))
        else:
            run.not_finite[key] = run.not_finite.get(key, 0) + 1
    for key in [key for key, points in run.curves.items() if not points]:
        del run.curves[key]


def name_runs(paths: Sequence[str]) -> list[str]:
    """Name runs by as little of their paths as tells them apart."""
    parts = [Path(path).absolute().parts for path in paths]
    names = ['/'.join(part[-1:]) for part in parts]
    for length in range(2, max(map(len, parts)) + 1):
        if len(set(names)) == len(names):
            break
        names = ['/'.join(part[-length:]) for part in parts]
    return names
