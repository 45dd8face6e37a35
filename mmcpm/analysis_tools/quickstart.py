"""Data, training, test and pictures in one go, by the users' own commands.

Every step runs the tool that a user would type; its output goes to a log
file, and what it needs to say goes to the terminal.
"""

import json
import os
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from .example_picture import write_example
from .quickstart_table import ROWS, SCORES, score_table

CONFIG = 'configs/cpm/cpm_r18_scenes.py'
DATA = 'data/sounding_scenes_demo'
PROTOCOL = 'dataset'
# Scores of the summary -> option --sound of tools/test.py.
SOUNDS = {'model': 'true', 'silence': 'silence', 'swapped': 'swapped'}
# Frames per update, of all processes together.
BATCH_SIZE = 8


class StepFailed(RuntimeError):
    """A step of the quickstart failed."""


def run_step(
    command: list[str], log: Path, title: str, num_jobs: int = 1
) -> float:
    """Run one of the tools.

    Args:
        command (list[str]): Script and arguments, without the interpreter.
        log (Path): Receives its output; its progress bar and its errors go
            to the terminal.
        title (str): Description of the step.
        num_jobs (int): Number of processes that share the cores meanwhile.

    Returns:
        float: Seconds it took.

    Raises:
        StepFailed: Tells the step, its exit code and the log file.
    """
    print(f'\n== {title}\n$ python {shlex.join(command)}', flush=True)
    started = time.monotonic()
    environment = {'PYTHONWARNINGS': 'ignore', **os.environ}
    if num_jobs > 1:
        # More threads than cores slow every process down.
        threads = max(1, (os.cpu_count() or 1) // num_jobs)
        environment.setdefault('OMP_NUM_THREADS', str(threads))
    with open(log, 'w', encoding='utf-8') as file:
        code = subprocess.run(
            [sys.executable, *command],
            stdout=file,
            env=environment,
            check=False,
        ).returncode
    if code:
        raise StepFailed(
            f'"{title}" failed with exit code {code}. What it printed is in '
            f'{log}; the command above repeats it alone.'
        )
    return time.monotonic() - started


def read_ceiling(data_root: Path) -> dict[str, dict[str, float]]:
    """Score the best observer without sound on the test scenes.

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
    launcher, batches = _split_over_processes(tools)
    seconds['train'] = run_step(
        [
            *launcher,
            str(tools / 'train.py'),
            str(config),
            *common,
            '--work-dir',
            str(work_dir),
            '--seed',
            str(seed),
            *(['--launcher', 'pytorch'] if launcher else []),
            '--cfg-options',
            'default_hooks.progress.type=ProgressBarHook',
            *batches,
            *options,
        ],
        work_dir / 'train.log',
        f'Training (losses and scores: {work_dir / "train.log"})',
        num_jobs=2 if launcher else 1,
    )

    checkpoint = best_checkpoint(work_dir)
    pictures = work_dir / 'pictures'

    def test(row: str) -> dict[str, float]:
        sound = SOUNDS[row]
        file = work_dir / f'scores_{row}.json'
        show = ['--show-dir', str(pictures)] if sound == 'true' else []
        run_step(
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
            num_jobs=len(SOUNDS),
        )
        return json.loads(file.read_text())['metrics']

    started = time.monotonic()
    with ThreadPoolExecutor(len(SOUNDS)) as pool:
        scores = dict(zip(SOUNDS, pool.map(test, SOUNDS), strict=True))
    seconds['test'] = time.monotonic() - started
    write_example(data_root, pictures, work_dir / 'example.png')
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
    print(
        f'Example:  {work_dir / "example.png"}\nPictures: {pictures}\n'
        f'Summary:  {work_dir / "summary.json"}'
    )
    return summary


def _split_over_processes(tools: Path) -> tuple[list[str], list[str]]:
    """Choose how to start the training: on a CPU, as two processes.

    Two processes of half the batch take 0.7 of the time that one takes with
    twice the threads, because most operators of the small model are too
    small to be shared by threads.

    Args:
        tools (Path): Folder of the tools.

    Returns:
        tuple[list[str], list[str]]: What stands before the command, and
        settings for ``--cfg-options``; both empty for a single process.
    """
    if torch.cuda.is_available():
        return [], []
    launcher = [
        str(tools / 'launch.py'),
        '--standalone',
        '--local-addr=127.0.0.1',
        '--nproc-per-node=2',
    ]
    settings = [f'train_dataloader.batch_size={BATCH_SIZE // 2}']
    # Workers that are forked beside gloo's threads can hang.
    settings += [
        f'{split}_dataloader.num_workers=0' for split in ('train', 'val')
    ]
    return launcher, settings


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
