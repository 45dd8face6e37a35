"""Data, training, test and pictures in one go, by the users' own commands.

Every step runs the tool that a user would type; its output goes to a log
file, and what it needs to say goes to the terminal.
"""

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

from prettytable import PrettyTable

CONFIG = 'configs/cpm/cpm_r18_scenes.py'
DATA = 'data/sounding_scenes_demo'
PROTOCOL = 'dataset'
SCORES = ('mIoU', 'Fbeta')
# Names of the scores in the summary -> what tools/test.py lets be heard.
SOUNDS = {'model': 'true', 'silence': 'silence', 'swapped': 'swapped'}
ROWS = {
    'model': 'with the true sound',
    'vision_only_ceiling': 'best possible score without the sound',
    'silence': 'with silence',
    'swapped': 'with the sound of another clip',
    'all_background': 'nothing segmented',
}


class StepFailed(RuntimeError):
    """A step of the quickstart failed."""


def run_step(command: list[str], log: Path, title: str) -> float:
    """Run one of the tools.

    Args:
        command (list[str]): Script and arguments, without the interpreter.
        log (Path): Receives its output; its progress bar and its errors go
            to the terminal.
        title (str): Description of the step.

    Returns:
        float: Seconds it took.

    Raises:
        StepFailed: Tells the step, its exit code and the log file.
    """
    print(f'\n== {title}\n$ python {shlex.join(command)}', flush=True)
    started = time.monotonic()
    with open(log, 'w', encoding='utf-8') as file:
        code = subprocess.run(
            [sys.executable, '-W', 'ignore', *command],
            stdout=file,
            check=False,
        ).returncode
    if code:
        raise StepFailed(
            f'"{title}" failed with exit code {code}. What it printed is in '
            f'{log}; the command above repeats it alone.'
        )
    return time.monotonic() - started


def read_ceiling(data_root: Path) -> dict[str, dict[str, float]]:
    """Score the best deaf observer on the test scenes.

    Args:
        data_root (Path): Root of the sounding scenes.

    Returns:
        dict[str, dict[str, float]]: ``vision_only_ceiling`` and
        ``all_background``, each with the scores in 0..1.
    """
    from .vision_only_ceiling import vision_only_ceiling

    ceiling = vision_only_ceiling(data_root)
    return {
        row: {score: ceiling[row][score] for score in SCORES}
        for row in ('vision_only_ceiling', 'all_background')
    }


def score_table(summary: dict) -> str:
    """Lay out the scores for reading.

    Args:
        summary (dict): See :func:`run_quickstart`.

    Returns:
        str: A table in per cent.
    """
    table = PrettyTable()
    table.field_names = ['', 'mIoU', 'F-beta']
    table.align = 'r'
    table.align[''] = 'l'
    for row, title in ROWS.items():
        values = [
            summary['all_background'][score]
            if row == 'all_background'
            else summary[score][row]
            for score in SCORES
        ]
        table.add_row([title, *(f'{100 * value:.1f}' for value in values)])
    return table.get_string()


def result_table(results: Path) -> str:
    """Lay out the summaries of several seeds for the README.

    Args:
        results (Path): Folder of ``quickstart_seed*.json``.

    Returns:
        str: A Markdown table in per cent: mean and range over the seeds.
    """
    summaries = [
        json.loads(path.read_text())
        for path in sorted(results.glob('quickstart_seed*.json'))
    ]
    lines = ['| | mIoU | F-beta |', '|---|---|---|']
    for row, title in ROWS.items():
        cells = []
        for score in SCORES:
            values = [
                100
                * (
                    summary['all_background'][score]
                    if row == 'all_background'
                    else summary[score][row]
                )
                for summary in summaries
            ]
            mean = sum(values) / len(values)
            low, high = min(values), max(values)
            cells.append(
                f'{mean:.1f}'
                if high - low < 0.05
                else f'{mean:.1f} ({low:.1f} to {high:.1f})'
            )
        lines.append(f'| {title} | {cells[0]} | {cells[1]} |')
    return '\n'.join(lines)


def run_quickstart(
    repository: Path,
    seed: int,
    work_dir: str | Path,
    data_root: str | Path | None = None,
    install_seconds: float = 0.0,
    options: list[str] | None = None,
    clips: tuple[int, int, int] | None = None,
) -> dict:
    """Make scenes, train, test with three sounds, draw, and sum up.

    Args:
        repository (Path): Root of the repository.
        seed (int): Seed of the training.
        work_dir (str or Path): Receives logs, checkpoints, pictures and
            ``summary.json``.
        data_root (str or Path, optional): Root folder of the scenes; re-used
            if they are there. Defaults to ``data/sounding_scenes_demo``.
        install_seconds (float): Duration of the installation, for the summary.
        options (list[str], optional): Further settings of the training, as
            for ``--cfg-options``.
        clips (tuple[int, int, int], optional): Clips of the splits, for
            smaller data than the preset's.

    Returns:
        dict: The summary: ``config``, ``seed``, ``protocol``, ``mIoU`` and
        ``Fbeta`` (``model``, ``vision_only_ceiling``, ``silence``,
        ``swapped``; 0..1), ``all_background`` (the scores of segmenting
        nothing) and ``seconds``.

    Raises:
        SystemExit: With code 1 and a message, if a step fails.
    """
    try:
        return _run(
            repository,
            seed,
            Path(work_dir).absolute(),
            Path(data_root or repository / DATA).absolute(),
            install_seconds,
            options or [],
            clips,
        )
    except StepFailed as error:
        print(f'\nquickstart: {error}', file=sys.stderr)
        raise SystemExit(1) from error


def _run(
    repository: Path,
    seed: int,
    work_dir: Path,
    data_root: Path,
    install_seconds: float,
    options: list[str],
    clips: tuple | None,
) -> dict:
    """Do the steps."""
    tools, config = repository / 'tools', repository / CONFIG
    work_dir.mkdir(parents=True, exist_ok=True)
    (work_dir / 'summary.json').unlink(missing_ok=True)
    seconds = {'install': round(install_seconds, 1)}

    size = [] if clips is None else ['--clips', *map(str, clips)]
    seconds['data'] = run_step(
        [
            str(tools / 'dataset_converters/make_sounding_scenes.py'),
            str(data_root),
            *size,
        ],
        work_dir / 'data.log',
        'Making sounding scenes (skipped if there)',
    )
    ceiling = read_ceiling(data_root)

    common = ['--data-root', str(data_root)]
    seconds['train'] = run_step(
        [
            str(tools / 'train.py'),
            str(config),
            *common,
            '--work-dir',
            str(work_dir),
            '--seed',
            str(seed),
            '--cfg-options',
            'default_hooks.progress.type=ProgressBarHook',
            *options,
        ],
        work_dir / 'train.log',
        f'Training (losses and scores: {work_dir / "train.log"})',
    )

    checkpoint = best_checkpoint(work_dir)
    pictures = work_dir / 'pictures'
    seconds['test'] = 0.0
    scores = {}
    for row, sound in SOUNDS.items():
        file = work_dir / f'scores_{row}.json'
        show = ['--show-dir', str(pictures)] if sound == 'true' else []
        seconds['test'] += run_step(
            [
                str(tools / 'test.py'),
                str(config),
                str(checkpoint),
                *common,
                '--work-dir',
                str(work_dir / f'test_{row}'),
                '--sound',
                sound,
                '--scores',
                str(file),
                *show,
            ],
            work_dir / f'test_{row}.log',
            f'Testing {ROWS[row]}',
        )
        scores[row] = json.loads(file.read_text())['metrics']
    summary = {
        'config': CONFIG,
        'seed': seed,
        'protocol': PROTOCOL,
        **{
            score: {
                'model': scores['model'][f'{PROTOCOL}/{score}'],
                'vision_only_ceiling': ceiling['vision_only_ceiling'][score],
                'silence': scores['silence'][f'{PROTOCOL}/{score}'],
                'swapped': scores['swapped'][f'{PROTOCOL}/{score}'],
            }
            for score in SCORES
        },
        'all_background': ceiling['all_background'],
        'seconds': {step: round(value, 1) for step, value in seconds.items()},
    }
    (work_dir / 'summary.json').write_text(json.dumps(summary, indent=1))
    print(
        f'\nSeed {seed}, {PROTOCOL}-level scores on the test scenes, in '
        f'per cent:\n{score_table(summary)}'
    )
    print(f'Pictures: {pictures}\nSummary:  {work_dir / "summary.json"}')
    return summary


def best_checkpoint(work_dir: Path) -> Path:
    """Find the checkpoint that was best on the validation scenes.

    Args:
        work_dir (Path): Work directory of the training.

    Returns:
        Path: The newest ``best_*.pth``.

    Raises:
        StepFailed: If there is none.
    """
    found = sorted(
        work_dir.glob('best_*.pth'), key=lambda path: path.stat().st_mtime
    )
    if not found:
        raise StepFailed(
            f'The training left no best_*.pth in {work_dir}; was it validated?'
        )
    return found[-1]
