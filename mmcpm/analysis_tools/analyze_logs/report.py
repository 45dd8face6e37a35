"""Tables and curves of what trainings logged."""

import difflib
import io
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from prettytable import PrettyTable

from mmcpm.utils.errors import UsageError
from mmcpm.utils.io import ensure_writable, write_whole

from .runs import Run, name_runs, read_run

UNITS = {
    'time': 's per iteration',
    'data_time': 's per iteration',
    'memory': 'MiB',
}
# Curves in one row of the picture.
COLUMNS = 2


def check_keys(runs: Sequence[Run], keys: Sequence[str]) -> None:
    """Refuse keys that no run logged.

    Raises:
        UsageError: If there is one; it lists the keys that there are.
    """
    known = sorted({key for run in runs for key in run.curves})
    unknown = [key for key in keys if key not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0], known, 1)
        guess = f' (did you mean {near[0]}?)' if near else ''
        raise UsageError(
            f'--keys: no run logged {", ".join(unknown)}{guess}. There are: '
            f'{", ".join(known)}'
        )


def speed_table(runs: Sequence[Run]) -> PrettyTable:
    """Tabulate time and memory of training iterations.

    Returns:
        PrettyTable: A run per line: iterations done; mean, median and
        longest of the logged times, each itself a mean over the logging
        window; the share of it that waits for data; the highest memory of
        the GPU. A dash stands for what was not logged.
    """
    table = PrettyTable(
        [
            'run',
            'iterations',
            's/iteration: mean',
            'median',
            'longest',
            'waiting for data',
            'GPU memory, MiB',
        ]
    )
    table.align = 'r'
    table.align['run'] = 'l'
    for run in runs:
        times, waits = run.values('time'), run.values('data_time')
        memory = run.values('memory')
        reached = [
            place
            for key, points in run.curves.items()
            if run.units[key] == 'iteration'
            for place, _ in points
        ]
        table.add_row(
            [
                run.name,
                f'{max(reached):.0f}' if reached else '-',
                f'{statistics.fmean(times):.3f}' if times else '-',
                f'{statistics.median(times):.3f}' if times else '-',
                f'{max(times):.3f}' if times else '-',
                f'{100 * sum(waits) / sum(times):.1f} %'
                if waits and sum(times or [0])
                else '-',
                f'{max(memory):.0f}' if memory else '-',
            ]
        )
    return table


def key_table(runs: Sequence[Run], keys: Sequence[str]) -> PrettyTable:
    """Tabulate the first, last, least and greatest value of keys.

    Returns:
        PrettyTable: A key of a run per line; where it was logged stands in
        brackets.
    """
    table = PrettyTable(
        ['key', 'run', 'values', 'first', 'last', 'least', 'greatest', 'note']
    )
    table.align = 'r'
    for name in ('key', 'run', 'note'):
        table.align[name] = 'l'
    for key in keys:
        for run in runs:
            points = run.curves.get(key)
            if not points:
                table.add_row([key, run.name, 0, *'----', 'not logged'])
                continue
            order = sorted(points, key=lambda point: point[1])
            chosen = (points[0], points[-1], order[0], order[-1])
            count = run.not_finite.get(key)
            table.add_row(
                [
                    key,
                    run.name,
                    len(points),
                    *(f'{value:.5g} ({place:g})' for place, value in chosen),
                    f'({run.units[key]})'
                    + (f', {count} not finite' if count else ''),
                ]
            )
    return table


def draw_curves(
    runs: Sequence[Run], keys: Sequence[str], log_scale: bool = False
) -> Figure:
    """Draw a panel per key with a curve per run."""
    columns = min(COLUMNS, len(keys))
    lines = math.ceil(len(keys) / columns)
    figure = Figure((6 * columns, 0.9 + 3.4 * lines), layout='constrained')
    names = ', '.join(run.name for run in runs)
    figure.suptitle(
        f'Training log of {names}' if len(runs) == 1 else 'Training logs'
    )
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for key, axes in zip(keys, panels, strict=False):
        units = []
        for number, run in enumerate(runs):
            points = run.curves.get(key)
            if not points:
                continue
            units.append(run.units[key])
            axes.plot(
                *zip(*points, strict=True),
                marker='o' if len(points) < 30 else None,
                markersize=4,
                color=f'C{number}',
                # Curves that coincide are all seen.
                linestyle=('-', '--', ':')[number % 3],
                label=run.name,
            )
        axes.set_xlabel(' or '.join(dict.fromkeys(units)))
        unit = UNITS.get(key.removeprefix('val/'))
        axes.set_ylabel(f'{key} ({unit})' if unit else key)
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
        values = [value for run in runs for value in run.values(key)]
        if log_scale and min(values) > 0 and max(values) > 5 * min(values):
            axes.set_yscale('log')
        if len(runs) > 1:
            axes.legend(fontsize='small')
    for axes in panels[len(keys) :]:
        axes.remove()
    return figure


def analyze(
    paths: Sequence[str],
    keys: Sequence[str],
    out: str | None = None,
    names: Sequence[str] | None = None,
    log_scale: bool = False,
) -> str:
    """Tabulate, and draw, what runs logged.

    Args:
        paths (Sequence[str]): Work dirs or files of scalars.
        keys (Sequence[str]): Keys to show.
        out (str, optional): Receives the picture, PNG.
        names (Sequence[str], optional): Names of the runs. Defaults to the
            ends of their paths.
        log_scale (bool): Whether keys are drawn on a logarithmic scale whose
            values are positive and span more than a factor of five.
            Defaults to False.

    Returns:
        str: The tables.

    Raises:
        UsageError: If a log, a key or the picture's place cannot be used.
    """
    if names is not None and len(names) != len(paths):
        raise UsageError(
            f'--names: expected a name for each of {len(paths)} runs, but '
            f'{len(names)} are given'
        )
    if out is not None:
        if Path(out).suffix != '.png':
            raise UsageError(f'--out must end in .png, but is {out}')
        ensure_writable(Path(out).absolute().parent, '--out')
    names = name_runs(paths) if names is None else names
    runs = [
        read_run(path, name) for path, name in zip(paths, names, strict=True)
    ]
    keys = list(dict.fromkeys(keys))
    check_keys(runs, keys)
    if out is not None:
        content = io.BytesIO()
        draw_curves(runs, keys, log_scale).savefig(
            content, format='png', dpi=110
        )
        write_whole(out, content.getvalue())
    return f'{speed_table(runs)}\n{key_table(runs, keys)}'
