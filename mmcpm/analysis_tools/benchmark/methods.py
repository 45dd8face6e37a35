"""Several methods beside stock Mask2Former, in one run."""

import json
from argparse import Namespace
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmcpm.apis import options
from mmcpm.apis.config_checks import fill_num_classes, require
from mmcpm.apis.train_and_test import read_config

from .batches import clip_settings, random_batch
from .flops import count
from .memory import CPU_METHOD, CUDA_METHOD, peak_memory
from .peers import prepare, stock_model
from .runs import check, describe_run, write_report
from .steps import Subject, compare, interleave, time_statistics

# Name of the peer in reports.
STOCK = 'stock'


def run(args: Namespace) -> dict:
    """Measure what tools/analysis_tools/benchmark_methods.py is asked to.

    Inference is timed in turns of all models. Training is timed in turns of
    each model with the peer, because the states of all optimizers together
    do not fit into the memory of most machines.

    Args:
        args (Namespace): Arguments of the tool.

    Returns:
        dict: The report, also written to ``args.out``.

    Raises:
        UsageError: If an argument cannot be used.
    """
    args.config = args.configs[0]
    check(args)
    subjects = {STOCK: _settings(args, args.stock, stock=True)}
    for config in args.configs:
        subjects[config] = _settings(args, config)
    methods = {
        name: {
            'config': name,
            **_count(settings, tuple(args.size)),
            'peak_mb': None if args.no_memory else peak_memory(settings),
        }
        for name, settings in subjects.items()
    }
    groups = [list(subjects)]
    if args.task == 'train':
        groups = [[STOCK, config] for config in args.configs]
    for group in groups:
        built = [Subject(**subjects[name]) for name in group]
        seconds = interleave(
            [subject.step for subject in built],
            args.repeats,
            args.warmup,
            args.device,
        )
        del built
        for name, times in zip(group, seconds, strict=True):
            methods[name].update(time_statistics(times))
            methods[name].update(compare(times, seconds[0]))
    report = {
        **describe_run(args),
        'stock': args.stock,
        'memory': (
            CUDA_METHOD if args.device.startswith('cuda') else CPU_METHOD
        ),
        'methods': list(methods.values()),
    }
    write_report(args.out, report)
    return report


def _settings(args: Namespace, config: str, stock: bool = False) -> dict:
    """Arguments of the :class:`Subject` of a config."""
    cfg = read_config(config)
    require(cfg, ('model', 'train_dataloader', 'optim_wrapper'))
    fill_num_classes(cfg, options.DATALOADERS)
    samples = args.batch
    for settings in clip_settings(cfg):
        settings.clip_length, samples = args.batch, 1
    return dict(
        cfg=cfg,
        batch=random_batch(cfg, tuple(args.size), samples),
        task=args.task,
        size=tuple(args.size),
        device=args.device,
        dtype=args.dtype,
        stock=stock,
    )


def _count(settings: dict, size: tuple[int, int]) -> dict:
    """Parameters, and multiply-adds for one frame and its sound."""
    cfg: Config = settings['cfg']
    init_default_scope(cfg.get('default_scope') or 'mmseg')
    model = prepare(cfg, size, 'cpu')
    if settings['stock']:
        model = stock_model(model)
    counts = count(MODELS.build(model).eval(), size)
    return {
        key: counts[key]
        for key in ('parameters', 'multiply_adds', 'not_counted')
    }


def methods_table(files: list[str]) -> str:
    """Lay out JSON files of tools/analysis_tools/benchmark_methods.py.

    Args:
        files (list[str]): Paths.

    Returns:
        str: See :func:`format_report`; one table for all.
    """
    reports = (json.loads(Path(file).read_text()) for file in files)
    return format_report(*reports)


def format_report(*reports: dict) -> str:
    """Lay out reports for reading.

    Args:
        *reports (dict): Results of :func:`run`.

    Returns:
        str: A Markdown table; times (medians) and peak memory are also
        given relative to stock Mask2Former of the same report.
    """
    lines = [
        '| config | task | size, batch | device | parameters, M | GMACs '
        '| seconds | time: ratio | memory: ratio |',
        '|---|---|---|---|---|---|---|---|---|',
    ]
    for report in reports:
        height, width = report['size']
        stock = report['methods'][0]
        for method in report['methods']:
            memory = '-'
            if method['peak_mb'] is not None:
                memory = f'{method["peak_mb"] / stock["peak_mb"]:.2f}'
            lines.append(
                f'| `{Path(method["config"]).stem}` | {report["task"]} '
                f'| {height} x {width}, {report["batch"]} '
                f'| {report["device"]} {report["dtype"]} '
                f'| {method["parameters"] / 1e6:.1f} '
                f'| {method["multiply_adds"] / 1e9:.1f} '
                f'| {method["median_s"]:.2f} | {method["ratio"]:.2f} '
                f'| {memory} |'
            )
    return '\n'.join(lines)
