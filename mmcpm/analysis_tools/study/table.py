"""Tables of the records of a study, and gains paired by seed.

Two trainings with the same seed see the same scenes in the same order, so
that their difference says more than that of two averages.
"""

import math
import statistics
from pathlib import Path

# Settings that change how fast a run is, not what it learns.
SPEED_SETTINGS = ('num_workers',)
# Scores as AVSBench's own code has them, where a config has its metric, at
# the size of the frames.
LEGACY = ('avss_legacy_original/mIoU', 'avss_legacy_original/Fbeta')


def variant(record: dict) -> str:
    """Name what was trained, whatever the seed.

    Returns:
        str: Name of the configuration, and what was set beside it.
    """
    words = [Path(record['config']).stem]
    if record.get('epochs') is not None:
        words.append(f'epochs={record["epochs"]}')
    for option in record.get('options', ()):
        key, _, value = option.partition('=')
        if key.rpartition('.')[2] not in SPEED_SETTINGS:
            words.append(f'{key.rpartition(".")[2]}={value}')
    return ' '.join(words)


def by_variant(records: list[dict]) -> dict[str, list[dict]]:
    """Sort runs by what was trained, in the order of the records."""
    groups: dict[str, list[dict]] = {}
    for record in records:
        groups.setdefault(variant(record), []).append(record)
    return groups


def paired_gain(
    runs: list[dict], baseline: list[dict], score: str = 'mIoU'
) -> tuple[float, float, int]:
    """Compare two variants seed by seed.

    Returns:
        tuple[float, float, int]: Mean gain, its standard error (NaN for one
        pair), and the number of seeds that both have; NaN without any.
    """
    theirs = {run['seed']: run[score] for run in baseline}
    gains = [
        run[score] - theirs[run['seed']]
        for run in runs
        if run['seed'] in theirs
    ]
    if not gains:
        return math.nan, math.nan, 0
    error = math.nan
    if gains[1:]:
        error = statistics.stdev(gains) / math.sqrt(len(gains))
    return statistics.fmean(gains), error, len(gains)


def study_table(records: list[dict], baselines: tuple[str, ...] = ()) -> str:
    """Lay out a study for reading.

    Args:
        records (list[dict]): Finished runs.
        baselines (tuple[str, ...]): Variants to compare the others with, as
            :func:`variant` names them.

    Returns:
        str: A Markdown table: per variant the mean of each score over the
        seeds in per cent, with the standard deviation of mIoU, and the mean
        gain in mIoU paired by seed with its standard error.

    Raises:
        ValueError: If there are no runs of a baseline.
    """
    groups = by_variant(records)
    for name in baselines:
        if name not in groups:
            raise ValueError(
                f'There are no runs of the baseline {name!r}. There are: '
                f'{", ".join(groups)}.'
            )
    # Studies of one method leave these out.
    legacy = ('Fbeta', *LEGACY)
    if not all(key in record for record in records for key in legacy):
        legacy = ()
    titles = [
        'config',
        'seeds',
        'steps',
        'mIoU',
        *(('F-beta', *LEGACY) if legacy else ()),
        *(f'gain over `{name}`' for name in baselines),
        'silence',
        'swapped',
        'coverage',
        'stability',
    ]
    lines = [f'| {" | ".join(titles)} |', f'|{"---|" * len(titles)}']
    for name, runs in groups.items():
        cells = [
            f'`{name}`',
            str(len(runs)),
            f'{runs[0]["iterations"]}',
            _mean_and_deviation(runs),
            *(_mean(runs, key) for key in legacy),
            *(
                '' if name == other else _gain(runs, groups[other])
                for other in baselines
            ),
            _mean(runs, 'mIoU_silence'),
            _mean(runs, 'mIoU_swapped'),
            _coverage(runs),
            _stability(runs),
        ]
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def _mean(runs: list[dict], key: str) -> str:
    """Mean over the runs, per cent; '-' where some have none."""
    values = [run.get(key) for run in runs]
    if None in values:
        return '-'
    return f'{100 * statistics.fmean(values):.1f}'


def _mean_and_deviation(runs: list[dict]) -> str:
    """Mean and standard deviation of mIoU, per cent."""
    text = _mean(runs, 'mIoU')
    if runs[1:]:
        deviation = 100 * statistics.stdev(run['mIoU'] for run in runs)
        text += f' ± {deviation:.1f}'
    return text


def _gain(runs: list[dict], baseline: list[dict]) -> str:
    """Gain with its standard error, points."""
    gain, error, pairs = paired_gain(runs, baseline)
    if not pairs:
        return ''
    text = f'{100 * gain:+.1f}'
    return text if math.isnan(error) else f'{text} ± {100 * error:.1f}'


def _coverage(runs: list[dict]) -> str:
    """Coverage after the audio decoder and, if recorded, at the end."""
    text = _mean(runs, 'coverage')
    if all(run.get('coverage_final') is not None for run in runs):
        text += f' → {_mean(runs, "coverage_final")}'
    return text


def _stability(runs: list[dict]) -> str:
    """Stability score of the last epoch; '-' for heads without matching."""
    if not all(run['sts'] for run in runs):
        return '-'
    return f'{statistics.fmean(run["sts"][-1] for run in runs):.2f}'
