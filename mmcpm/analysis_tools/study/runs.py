"""Trainings and tests of many configurations with many seeds, on record.

Every run is made by the tools that users type. A finished run is one record
in a JSON file, so that a study that was interrupted goes on where it was. The
table of the records is made by :mod:`.table`.
"""

import fcntl
import json
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mmengine.config import Config

from mmcpm.apis.nested_settings import innermost_datasets
from mmcpm.apis.train_and_test import read_config
from mmcpm.dataset_converters.sounding_scenes.writer import MARKER, read_marker
from mmcpm.utils.checkpoints import read_checkpoint
from mmcpm.utils.io import write_whole

from ..quickstart import (
    PROTOCOL,
    SOUNDS,
    best_checkpoint,
    read_ceiling,
    run_step,
)
from .table import LEGACY

# Scalars of the last training epoch that tell how a method fared.
PROMPT_STATS = (
    'gmm_ready',
    'gmm_dead',
    'gmm_mean_cosine',
    'gmm_bank_accuracy',
    'gmm_class_bias',
    'prompt_accuracy',
    'prompt_iou',
    'acp_unexplained',
    'loss_acp',
    'loss_pcl',
    *(f'gradient_{n}' for n in ('cls', 'mask', 'dice', 'vcp', 'acp', 'pcl')),
)


@contextmanager
def locked(lock: Path, waits: bool = True) -> Iterator[bool]:
    """Lock a file among all processes, for as long as this one lives.

    Yields:
        bool: Whether it is locked; always, for those who wait.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, 'w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


def read_records(file: Path) -> list[dict]:
    """Read the finished runs; none if there is no such file."""
    return json.loads(file.read_text()) if file.exists() else []


def append_record(file: Path, record: dict) -> None:
    """Add a finished run, never leaving half a file behind."""
    with locked(Path(f'{file}.lock')):
        lines = map(json.dumps, [*read_records(file), record])
        write_whole(file, '[\n{}\n]\n'.format(',\n'.join(lines)).encode())


def key(record: dict) -> tuple:
    """What tells one run from another; a config may move to another folder."""
    return (
        Path(record['config']).stem,
        record['seed'],
        record['epochs'],
        record['split'],
        tuple(record.get('options', ())),
    )


def length_options(cfg: Config, epochs: int) -> list[str]:
    """Say what gives a training another length.

    Returns:
        list[str]: As for ``--cfg-options``: the training, and the schedules
        that ended with it.
    """
    schedules = cfg.get('param_scheduler') or []
    return [
        f'train_cfg.max_epochs={epochs}',
        *(
            f'param_scheduler.{index}.end={epochs}'
            for index, schedule in enumerate(schedules)
            if schedule.get('by_epoch', True)
            and schedule.get('end') == cfg.train_cfg.max_epochs
        ),
    ]


def run_name(record: dict) -> str:
    """Name the folder of a run: other settings, other folder."""
    name = f'{Path(record["config"]).stem}_seed{record["seed"]}'
    if record['epochs'] is not None:
        name += f'_epochs{record["epochs"]}'
    if record['options']:
        name += f'_{zlib.crc32(" ".join(record["options"]).encode()):08x}'
    return name


@dataclass
class Study:
    """Runs of several configurations on one dataset.

    Args:
        repository (Path): Root of the repository, where the tools are.
        file (Path): JSON list that receives the records.
        work_dir (Path): Logs and checkpoints, one folder per run; the
            checkpoints of finished runs are removed.
        data_root (Path): Root folder of the dataset.
        epochs (int, optional): Length of the schedule; that of the
            configurations if None.
        split (str): Frames to score: 'val' for choosing, 'test' for
            reporting.
        options (list[str], optional): Further settings, as for
            ``--cfg-options``, the same for every configuration.
        keep_checkpoints (bool): Whether the best checkpoint of a finished
            run stays.
    """

    repository: Path
    file: Path
    work_dir: Path
    data_root: Path
    epochs: int | None = None
    split: str = 'test'
    options: list[str] | None = None
    keep_checkpoints: bool = False

    def __post_init__(self) -> None:
        self.options = self.options or []
        self._cfgs: dict[str, Config] = {}

    def run(self, configs: list[str], seeds: list[int], jobs: int = 1) -> None:
        """Do what is not done yet, seed by seed.

        Raises:
            StepFailed: The first of what went wrong; what was under way
                beside it is finished, nothing else is begun.
        """
        wanted = [
            self._identity(config, seed)
            for seed in seeds
            for config in configs
        ]
        # Here: mmengine reads one configuration at a time.
        for record in wanted:
            path = str(self.repository / record['config'])
            self._cfgs.setdefault(record['config'], read_config(path))
        stopped = threading.Event()

        def run(wanted: dict) -> None:
            if stopped.is_set():
                return
            try:
                self._run(wanted)
            except BaseException:
                stopped.set()
                raise

        with ThreadPoolExecutor(jobs) as pool:
            runs = [pool.submit(run, record) for record in wanted]
            try:
                for future in as_completed(runs):
                    future.result()
            finally:
                stopped.set()

    def _run(self, wanted: dict) -> None:
        """Do one run, unless it is done or another study is at it."""
        lock = self.work_dir / f'{run_name(wanted)}.lock'
        with locked(lock, waits=False) as mine:
            done = {key(record) for record in read_records(self.file)}
            if mine and key(wanted) not in done:
                append_record(
                    self.file, {**wanted, **self._train_and_test(wanted)}
                )

    def _identity(self, config: str, seed: int) -> dict:
        """What a record says before its run."""
        path = Path(config).resolve()
        if path.is_relative_to(self.repository):
            path = path.relative_to(self.repository)
        return {
            'config': str(path),
            'seed': seed,
            'epochs': self.epochs,
            'split': self.split,
            'options': self.options,
        }

    @cached_property
    def _ceiling(self) -> float | None:
        """Score of the best observer without sound, where it is known."""
        written = (self.data_root / MARKER).is_file()
        # Known for the layout of AVSBench-Semantic, which the marker omits.
        if not written or 'layout' in read_marker(self.data_root):
            return None
        return read_ceiling(self.data_root)['vision_only_ceiling']['mIoU']

    def _train_and_test(self, wanted: dict) -> dict:
        """Train, test with three sounds, and sum up."""
        name = run_name(wanted)
        folder = self.work_dir / name
        folder.mkdir(parents=True, exist_ok=True)
        common = ['--data-root', str(self.data_root)]
        tools = self.repository / 'tools'
        config = str(self.repository / wanted['config'])
        cfg = self._cfgs[wanted['config']]
        options = list(self.options)
        if self.epochs is not None:
            options += length_options(cfg, self.epochs)
        # Within wrappers the datasets have the split.
        splits = [
            f'{path}.split={self.split}'
            for path, _ in innermost_datasets(cfg, 'test_dataloader')
        ]
        started = time.monotonic()
        run_step(
            [
                str(tools / 'train.py'),
                config,
                *(*common, '--work-dir', str(folder)),
                *('--seed', str(wanted['seed']), '--resume'),
                *(['--cfg-options', *options] if options else []),
            ],
            folder / 'train.log',
            f'{name}: training',
        )
        seconds = time.monotonic() - started
        checkpoint = best_checkpoint(folder)
        scores = {}
        for row, sound in SOUNDS.items():
            file = folder / f'scores_{row}.json'
            run_step(
                [
                    *(str(tools / 'test.py'), config, str(checkpoint)),
                    *(*common, '--work-dir', str(folder / f'test_{row}')),
                    *('--sound', sound, '--scores', str(file)),
                    *('--cfg-options', *splits),
                ],
                folder / f'test_{row}.log',
                f'{name}: test, {sound} sound',
            )
            scores[row] = json.loads(file.read_text())['metrics']
        record = summarize_run(scores, read_scalars(folder))
        record['mIoU_ceiling'] = self._ceiling
        record['iterations'] = read_checkpoint(
            (folder / 'last_checkpoint').read_text()
        )['meta']['iter']
        for weights in folder.glob('*.pth'):
            if not (self.keep_checkpoints and weights == checkpoint):
                weights.unlink()
        return {**record, 'seconds': round(seconds, 1)}


def summarize_run(scores: dict[str, dict], scalars: list[dict]) -> dict:
    """Sum up a run.

    Args:
        scores (dict[str, dict]): Metrics of the tests with the true sound
            ('model'), with silence and with another clip's sound.
        scalars (list[dict]): Logged values of the training, in order.

    Returns:
        dict: Scores in 0..1, the stability score (nats) and the losses over
        the epochs, and the last statistics of the prompts (``health``).
    """
    steps = [line for line in scalars if 'loss' in line]
    epochs = [line for line in scalars if 'stability_score' in line]
    checks = [line for line in scalars if f'{PROTOCOL}/mIoU' in line]
    last = steps[-1]
    names = {name.removeprefix('decode.'): name for name in last}
    return {
        'mIoU': scores['model'][f'{PROTOCOL}/mIoU'],
        'Fbeta': scores['model'][f'{PROTOCOL}/Fbeta'],
        **{k: v for k, v in scores['model'].items() if k in LEGACY},
        'sts': [round(line['stability_score'], 4) for line in epochs],
        'coverage': scores['model'].get('coverage/td_a'),
        'coverage_final': scores['model'].get('coverage/final'),
        'mIoU_silence': scores['silence'][f'{PROTOCOL}/mIoU'],
        'mIoU_swapped': scores['swapped'][f'{PROTOCOL}/mIoU'],
        'mIoU_val': [round(line[f'{PROTOCOL}/mIoU'], 4) for line in checks],
        'health': {
            name: round(last[names[name]], 4)
            for name in PROMPT_STATS
            if name in names
        },
        'seconds_per_step': last.get('time'),
    }


def read_scalars(folder: Path) -> list[dict]:
    """Read what a training logged, over all its resumptions."""
    lines = []
    for file in sorted(folder.glob('*/vis_data/scalars.json')):
        lines += [json.loads(line) for line in file.read_text().splitlines()]
    return lines
