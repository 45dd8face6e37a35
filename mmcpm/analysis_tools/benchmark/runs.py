"""A benchmark, from arguments to a report."""

import json
import platform
import statistics
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path

import torch
from mmengine.config import Config

from mmcpm.apis import options
from mmcpm.apis.config_checks import fill_num_classes, require
from mmcpm.apis.train_and_test import read_config
from mmcpm.utils.checkpoints import read_checkpoint
from mmcpm.utils.errors import UsageError
from mmcpm.utils.io import write_whole

from .batches import random_batch, real_batch
from .data import measure_data
from .memory import CPU_METHOD, CUDA_METHOD, peak_memory
from .steps import Subject, compare, interleave, time_statistics

STOCK = 'stock'


def run(args: Namespace) -> dict:
    """Measure what the arguments of tools/analysis_tools/benchmark.py ask.

    Returns:
        dict: The report, also written to ``args.out``.

    Raises:
        UsageError: If an argument cannot be used.
    """
    check(args)
    cfg = read_config(args.config)
    require(cfg, ('model', 'train_dataloader', 'optim_wrapper'))
    peer = None
    if args.vs not in (None, STOCK):
        peer = read_config(args.vs)
        require(peer, ('model', 'train_dataloader', 'optim_wrapper'))
    if args.data_root is not None:
        for each in filter(None, (cfg, peer)):
            options.apply_data_root(each, args.data_root)
    for each in filter(None, (cfg, peer)):
        fill_num_classes(each, options.DATALOADERS)
    report = {
        'config': args.config,
        'peer': args.vs,
        **describe_run(args),
    }
    if args.task == 'data':
        report.update(measure_data(args, cfg, peer))
    else:
        report.update(measure_model(args, cfg, peer))
    write_report(args.out, report)
    return report


def describe_run(args: Namespace) -> dict:
    """Tell how and on what a benchmark runs.

    Args:
        args (Namespace): Arguments of a tool.

    Returns:
        dict: Task, sizes, repetitions, device and versions, for a report.
    """
    report = {
        'task': args.task,
        'size': list(args.size),
        'batch': args.batch,
        'device': args.device,
        'dtype': args.dtype,
        'repeats': args.repeats,
        'warmup': args.warmup,
        'threads': torch.get_num_threads(),
        'versions': {
            'python': platform.python_version(),
            'torch': torch.__version__,
        },
    }
    if args.device.startswith('cuda'):
        report['gpu'] = torch.cuda.get_device_name()
    return report


def write_report(path: str | None, report: dict) -> None:
    """Save a report as JSON.

    Args:
        path (str, optional): The file; None: nowhere.
        report (dict): What to save.
    """
    if path is not None:
        text = json.dumps(report, indent=1)
        write_whole(path, f'{text}\n'.encode())


def check(args: Namespace) -> None:
    """Refuse numbers and devices that cannot be used."""
    if args.config is None:
        raise UsageError('name a config file, or --table FILE...')
    for name in ('batch', 'repeats'):
        if getattr(args, name) < 1:
            raise UsageError(
                f'--{name} must be at least 1, got {getattr(args, name)}'
            )
    if any(side < 32 or side % 32 for side in args.size):
        raise UsageError(
            f'--size {args.size[0]} {args.size[1]}: height and width must be '
            'multiples of 32, the coarsest stride of the backbone'
        )
    if args.device.startswith('cuda') and not torch.cuda.is_available():
        raise UsageError('--device cuda: PyTorch sees no CUDA device')


def measure_model(args: Namespace, cfg: Config, peer: Config | None) -> dict:
    """Time steps of a model and of its peer."""
    size = tuple(args.size)
    split = 'train' if args.task == 'train' else 'test'
    batch = (
        random_batch(cfg, size, args.batch)
        if args.input == 'random'
        else real_batch(cfg, size, args.batch, split)
    )
    common = dict(
        batch=batch,
        task=args.task,
        size=size,
        device=args.device,
        dtype=args.dtype,
    )
    checkpoint = None
    if args.checkpoint is not None:
        checkpoint = read_checkpoint(args.checkpoint)
    settings = [dict(common, cfg=cfg, checkpoint=checkpoint)]
    if args.vs is not None:
        settings.append(dict(common, cfg=peer or cfg, stock=args.vs == STOCK))
    peaks = [None] * len(settings)
    if not args.no_memory:
        peaks = [peak_memory(arguments) for arguments in settings]
    subjects = [Subject(**arguments) for arguments in settings]
    seconds = interleave(
        [subject.step for subject in subjects],
        args.repeats,
        args.warmup,
        args.device,
    )
    # In turns as well; means, since mixtures are updated now and then only.
    turns = [
        [subject.parts() for subject in subjects]
        for _ in range(min(args.repeats, 5))
    ]
    report = {
        'input': args.input,
        'checkpoint': args.checkpoint,
        'memory': (
            CUDA_METHOD if args.device.startswith('cuda') else CPU_METHOD
        ),
    }
    for prefix, times, peak, parts in zip(
        ('', 'peer_'), seconds, peaks, zip(*turns, strict=True), strict=False
    ):
        report.update(time_statistics(times, prefix))
        report[f'{prefix}peak_mb'] = peak
        report[f'{prefix}parts'] = {
            name: statistics.fmean(turn[name] for turn in parts)
            for name in parts[0]
        }
    if len(subjects) == 2:
        report.update(compare(*seconds))
    return report


def format_report(report: dict) -> str:
    """Put a report in some lines for a reader."""
    lines = [f'{report["task"]}, {report["size"]}, batch {report["batch"]}']
    for prefix, name in (('', 'config'), ('peer_', 'peer')):
        if f'{prefix}median_s' not in report:
            continue
        low, high = report[f'{prefix}quartiles_s']
        lines.append(
            f'{report[name]}: {1000 * report[f"{prefix}median_s"]:.1f} ms '
            f'(quartiles {1000 * low:.1f} to {1000 * high:.1f})'
        )
        peak = report.get(f'{prefix}peak_mb')
        if peak is not None:
            lines[-1] += f', {peak:.0f} MiB'
        parts = report.get(f'{prefix}parts') or {}
        for part, seconds in sorted(parts.items(), key=lambda x: -x[1]):
            lines.append(f'    {part:16} {1000 * seconds:9.1f} ms')
    if 'ratio' in report:
        lines.append(
            f'ratio {report["ratio"]:.3f} (turn by turn '
            f'{report["ratio_of_turns"]:.3f})'
        )
    return '\n'.join(lines)


def benchmark_table(files: Iterable[Path]) -> str:
    """Lay out JSON files of tools/analysis_tools/benchmark.py.

    Returns:
        str: A Markdown table: medians in seconds, their ratio, and peak
        memory in MiB, of the configuration and of its peer.
    """
    lines = [
        '| config | task | size, batch | device | seconds | peer: seconds '
        '| ratio | memory: ratio |',
        '|---|---|---|---|---|---|---|---|',
    ]
    for file in files:
        result = json.loads(Path(file).read_text())
        height, width = result['size']
        memory = result['peak_mb'] / result['peer_peak_mb']
        peer = Path(result['peer']).stem
        lines.append(
            f'| `{Path(result["config"]).stem}` | {result["task"]} '
            f'| {height} x {width}, {result["batch"]} '
            f'| {result["device"]} {result["dtype"]} '
            f'| {result["median_s"]:.2f} '
            f'| {peer}: {result["peer_median_s"]:.2f} '
            f'| {result["ratio"]:.2f} | {memory:.2f} |'
        )
    return '\n'.join(lines)
