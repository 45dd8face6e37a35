"""Scores of the zoo as results of a metafile: published, or of our runs."""

import json
import re
from pathlib import Path
from statistics import fmean, stdev

from mmcpm.analysis_tools.study.table import variant
from mmcpm.utils.errors import UsageError

PAPER = 'paper.json'


def read_published(folder: Path) -> dict[Path, list[dict]]:
    """Read the published scores of a method, if there are any.

    Args:
        folder (Path): Folder of configs with ``results/paper.json``: a list
            of ``config``, ``source`` and ``scores`` in per cent.

    Returns:
        dict[Path, list[dict]]: Results by config, in the order of the file.

    Raises:
        UsageError: If there is no such config, or a score has no protocol.
    """
    file = folder / 'results' / PAPER
    found: dict[Path, list[dict]] = {}
    for entry in json.loads(file.read_text()) if file.exists() else ():
        config = folder / f'{entry["config"]}.py'
        bare = [name for name in entry['scores'] if '/' not in name]
        if bare or not config.exists():
            raise UsageError(
                f'{file}: expected the name of a config in {folder} and '
                'scores with their protocol ("dataset/mIoU"), but got '
                f'{entry["config"]!r} and {", ".join(entry["scores"])}'
            )
        # Programs that read a metafile show these names and nothing else.
        metrics = {f'{k} (paper)': v for k, v in entry['scores'].items()}
        result = {'Metrics': metrics, 'Source': f'paper: {entry["source"]}'}
        found.setdefault(config, []).append(result)
    return found


def read_runs(configs: Path) -> dict[Path, list[dict]]:
    """Average the runs on record over their seeds.

    ``*/results/*.json`` hold one record or a list; ``*_dev.json`` hold runs
    that choices were made on, and are left out. A record counts if it has a
    ``config``, a ``seed`` and scores in 0..1 (``dataset/mIoU`` and the like,
    or ``mIoU`` and ``Fbeta``), and tells of a test with the config as it is.

    Args:
        configs (Path): Folder of the methods' folders.

    Returns:
        dict[Path, list[dict]]: The result of a config, by config.

    Raises:
        UsageError: If two records tell of one config and seed.
    """
    stems = {path.stem: path for path in configs.glob('[!_]*/**/*.py')}
    runs: dict[Path, dict[int, tuple[dict, Path]]] = {}
    for file in sorted(configs.glob('*/results/*.json')):
        if file.name == PAPER or file.stem.endswith('_dev'):
            continue
        records = json.loads(file.read_text())
        for record in records if isinstance(records, list) else [records]:
            scores = _scores(record)
            config = stems.get(variant(record)) if scores else None
            if config is None or record.get('split', 'test') != 'test':
                continue
            seeds, seed = runs.setdefault(_own(config), {}), record['seed']
            if seed in seeds:
                raise UsageError(
                    f'{file}: the seed {seed} of {config.stem} is in '
                    f'{seeds[seed][1]}, too. Remove one of the records'
                )
            seeds[seed] = scores, file
    return {config: [_average(seeds)] for config, seeds in runs.items()}


def _scores(record: dict) -> dict[str, float]:
    """Scores of a record in per cent; empty if it is none of a run."""
    if not {'config', 'seed'} <= record.keys():
        return {}
    scores = {key: value for key, value in record.items() if '/' in key}
    for key in ('mIoU', 'Fbeta'):
        value = record.get(key)
        # The quick start records those with silence beside it.
        value = value.get('model') if isinstance(value, dict) else value
        if value is not None:
            scores[f'{record.get("protocol", "dataset")}/{key}'] = value
    return {key: 100 * value for key, value in scores.items()}


def _own(config: Path) -> Path:
    """The config that a file without settings of its own stands for."""
    code = re.sub(r'^#.*\n?', '', config.read_text(), flags=re.M).strip()
    base = re.fullmatch(r"_base_ = \[?'([^',]+)',?\]?", code)
    return (config.parent / base[1]).resolve() if base else config


def _average(seeds: dict[int, tuple[dict, Path]]) -> dict:
    """Mean and standard deviation over the seeds, and where they are from."""
    runs = [scores for scores, _ in seeds.values()]
    columns = {name: [run[name] for run in runs] for name in runs[0]}
    files = {'/'.join(file.parts[-4:]): None for _, file in seeds.values()}
    count = f'{len(runs)} runs, seeds' if runs[1:] else '1 run, seed'
    result = {
        'Metrics': {k: round(fmean(v), 4) for k, v in columns.items()},
        'Source': f'ours: {count} {", ".join(map(str, sorted(seeds)))}',
        'Records': list(files),
    }
    if runs[1:]:
        spread = {k: round(stdev(v), 4) for k, v in columns.items()}
        result['Standard Deviation'] = spread
    return result
