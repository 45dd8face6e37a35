"""Plots of the results of a study: one picture per question."""

import re
import statistics
from pathlib import Path

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .table import by_variant

Groups = dict[str, list[dict]]
# Name of a configuration of the sweep -> lambda, and the default's.
SWEEP = re.compile(r'_lambda(\d)(\d)$')
DEFAULT_LAMBDA = 0.5
FULL, BASE = '_full', '_base'


def lambda_of(name: str) -> float | None:
    """Read lambda from the name of a variant.

    Args:
        name (str): E.g. ``hard_lambda07``, or ``hard_full``.

    Returns:
        float | None: Lambda; None if the variant is not of the sweep.
    """
    found = SWEEP.search(name)
    if found:
        return int(found[1]) + int(found[2]) / 10
    return DEFAULT_LAMBDA if name.endswith(FULL) else None


def draw_scores(axes: Axes, groups: Groups) -> None:
    """Draw mIoU by variant: seeds as dots, their mean as a line."""
    for row, runs in enumerate(groups.values()):
        for key, color, label in (
            ('mIoU', 'tab:blue', 'true sound'),
            ('mIoU_swapped', 'tab:orange', "another clip's sound"),
            ('mIoU_silence', 'tab:gray', 'silence'),
        ):
            values = [100 * run[key] for run in runs]
            axes.plot(
                values,
                [row] * len(values),
                'o',
                color=color,
                alpha=0.5,
                label=label if row == 0 else None,
            )
            axes.plot(statistics.fmean(values), row, '|', color=color, ms=18)
    ceilings = {
        run['mIoU_ceiling']
        for runs in groups.values()
        for run in runs
        if run.get('mIoU_ceiling') is not None
    }
    for number, ceiling in enumerate(sorted(ceilings)):
        axes.axvline(
            100 * ceiling,
            color='black',
            linestyle='--',
            label=None if number else 'best possible without the sound',
        )
    axes.set_yticks(range(len(groups)), groups)
    axes.invert_yaxis()
    axes.set_xlabel('dataset/mIoU, per cent')
    axes.legend(loc='lower center', bbox_to_anchor=(0.4, 1.0), ncols=2)


def draw_stability(axes: Axes, groups: Groups) -> None:
    """Draw the stability score over the epochs, mean over the seeds."""
    axes.set_prop_cycle(color=colormaps['tab20'].colors)
    for name, runs in groups.items():
        epochs = range(1, 1 + min(len(run['sts']) for run in runs))
        means = [
            statistics.fmean(run['sts'][epoch - 1] for run in runs)
            for epoch in epochs
        ]
        axes.plot(epochs, means, 'o-', label=name)
    axes.set_xlabel('epoch')
    axes.set_ylabel('stability score, nats (lower is better)')
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(fontsize='small')


def draw_coverage(axes: Axes, groups: Groups) -> None:
    """Draw the coverage by the queries, after TD-A and at the end."""
    for row, runs in enumerate(groups.values()):
        before, after = (
            100 * statistics.fmean(run[key] for run in runs)
            for key in ('coverage', 'coverage_final')
        )
        axes.plot([before, after], [row, row], '-', color='tab:gray')
        for value, color, label in (
            (before, 'tab:orange', 'after the audio decoder'),
            (after, 'tab:blue', 'at the end'),
        ):
            axes.plot(
                value, row, 'o', color=color, label=None if row else label
            )
    axes.set_yticks(range(len(groups)), groups)
    axes.invert_yaxis()
    axes.set_xlabel('classification coverage, per cent')
    axes.legend(loc='lower center', bbox_to_anchor=(0.4, 1.0), ncols=2)


def draw_sweep(axes: Axes, groups: Groups) -> None:
    """Draw mIoU over lambda (Figure 6 of the paper)."""
    points = sorted(
        (value, 100 * run['mIoU'])
        for name, runs in groups.items()
        if (value := lambda_of(name)) is not None
        for run in runs
    )
    axes.plot(*zip(*points, strict=True), 'o', alpha=0.5)
    values = sorted({value for value, _ in points})
    means = [
        statistics.fmean(score for value, score in points if value == wanted)
        for wanted in values
    ]
    axes.plot(values, means, '-', color='tab:blue', label='CPM')
    for name, runs in groups.items():
        if name.endswith(BASE):
            mean = 100 * statistics.fmean(run['mIoU'] for run in runs)
            axes.axhline(mean, color='tab:gray', linestyle='--', label=name)
    axes.set_xlabel('lambda')
    axes.set_ylabel('dataset/mIoU, per cent')
    axes.legend()


def draw_study(records: list[dict], folder: Path) -> list[Path]:
    """Draw all that the records tell of.

    Args:
        records (list[dict]): Finished runs of a study.
        folder (Path): Receives ``scores.png``, ``stability.png`` and, where
            there is something to draw, ``coverage.png`` and ``lambda.png``.
    """
    groups = by_variant(records)
    pictures = {'scores': (draw_scores, groups)}
    pictures['stability'] = (
        draw_stability,
        {
            name: runs
            for name, runs in groups.items()
            if lambda_of(name) in (None, DEFAULT_LAMBDA)
        },
    )
    staged = {
        name: runs
        for name, runs in groups.items()
        if all(run.get('coverage_final') is not None for run in runs)
    }
    if staged:
        pictures['coverage'] = (draw_coverage, staged)
    if len({lambda_of(name) for name in groups} - {None}) > 1:
        pictures['lambda'] = (draw_sweep, groups)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, (draw, shown) in pictures.items():
        rows = name in ('scores', 'coverage')
        height = 1.5 + 0.3 * len(shown) if rows else 4.5
        figure = Figure((7, height), layout='constrained')
        draw(figure.subplots(), shown)
        files.append(folder / f'{name}.png')
        figure.savefig(files[-1], dpi=110)
    return files
