"""Training and testing, as tools/train.py and tools/test.py start them.

The tools only parse; :mod:`.options` applies each option, and what can be
known to be wrong is refused here before a run starts.
"""

import json
import os
import os.path as osp
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.datasets import BaseSegDataset
from mmseg.registry import RUNNERS

from mmcpm.engine.hooks.epoch_seed_hook import nested_datasets
from mmcpm.engine.launching import leave_launcher, prepare_launcher
from mmcpm.evaluation.metrics.frame_metric import FrameMetric
from mmcpm.models.utils.pretrained import (
    check_pretrained_weights,
    forget_pretrained_weights,
)
from mmcpm.utils.checkpoints import check_weights_fit, read_checkpoint, unwrap
from mmcpm.utils.errors import RUN_ERRORS, SET_UP_ERRORS, UsageError, reported
from mmcpm.utils.io import ensure_writable

from . import options
from .config_checks import check_classes, check_numbers, require
from .evaluation_checks import rehearse_validation
from .nested_settings import check_wrappers
from .sanity_checks import check_run, kept_random_state
from .unused_settings import check_files


def train(args: Namespace) -> None:
    """Train as told by the arguments of tools/train.py.

    Raises:
        SystemExit: With code 2 and a message, if something is wrong.
    """
    with reported('train.py'):
        cfg = load_config(args)
        require(
            cfg, ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper')
        )
        if args.amp:
            options.apply_amp(cfg)
        if args.auto_scale_lr or (cfg.get('auto_scale_lr') or {}).get(
            'enable'
        ):
            options.apply_auto_scale_lr(cfg)
        options.apply_resume(cfg, args.resume)
        dataloaders = ('train_dataloader', 'val_dataloader')
        check_numbers(cfg, dataloaders)
        check_wrappers(cfg, dataloaders)
        check_classes(cfg, dataloaders)
        ensure_writable(cfg.work_dir, '--work-dir')
        start = cfg.get('load_from')
        checkpoint = read_checkpoint(start, cfg.resume) if start else None
        runner = build_runner(cfg)
        options.scale_lr_for_accumulation(runner)
        if cfg.resume:
            forget_pretrained_weights(unwrap(runner.model))
        else:
            check_pretrained_weights(unwrap(runner.model))
        if start:
            check_weights_fit(
                runner.model, checkpoint, start, partly=not cfg.resume
            )
            checkpoint = None  # Frees it: the Runner reads the file itself.
        # Builds the datasets, so that their faults show now.
        check_run(runner, (runner.train_loop, runner.val_loop))
        progress = Progress()
        runner.register_hook(progress)
    with reported(
        'train.py',
        progress.expected_errors,
        '--resume continues from the last whole checkpoint',
    ):
        runner.train()
        leave_launcher()


def test(args: Namespace) -> dict[str, float]:
    """Test as told by the arguments of tools/test.py.

    Raises:
        SystemExit: With code 2 and a message, if something is wrong.
    """
    with reported('test.py'):
        decided = dict.fromkeys(
            ('load_from', 'resume'), 'the checkpoint argument'
        )
        cfg = load_config(args, decided)
        require(cfg, ('model', 'test_dataloader', 'test_evaluator'))
        cfg.load_from, cfg.resume = args.checkpoint, False
        check_numbers(cfg, ('test_dataloader',))
        check_wrappers(cfg, ('test_dataloader',), args.tta)
        check_classes(cfg, ('test_dataloader',))
        if args.tta:
            options.apply_tta(cfg)
        if args.sound != 'true':
            options.apply_sound(cfg, args.sound)
        if args.scores is not None:
            ensure_writable(osp.dirname(osp.abspath(args.scores)), '--scores')
        if args.out is not None:
            options.apply_out(cfg, args.out)
        if args.show or args.show_dir is not None:
            options.apply_show(cfg, args.show, args.show_dir, args.wait_time)
        ensure_writable(cfg.work_dir, '--work-dir')
        checkpoint = read_checkpoint(args.checkpoint)
        runner = build_runner(cfg)
        check_weights_fit(runner.model, checkpoint, args.checkpoint)
        checkpoint = None  # Frees it: the Runner reads the file itself.
        check_run(runner, (runner.test_loop,))
        progress = Progress()
        runner.register_hook(progress)
    with reported('test.py', progress.expected_errors):
        metrics = runner.test()
        if departures := unusual_options(args):
            runner.logger.warning(
                f'These are scores with {" and ".join(departures)}.'
            )
        if args.scores is not None and is_main_process():
            write_scores(args, metrics, runner)
        leave_launcher()
        return metrics


class Progress(Hook):
    """Knows whether a run has got going.

    What fails before its first iteration is done, fails because of how the
    run was set up.
    """

    # Looks at the validation when all else is prepared.
    priority = 'LOWEST'

    def __init__(self) -> None:
        self.has_begun = False

    def before_train(self, runner: Runner) -> None:
        """Let the validation fail now, not after an epoch."""
        with kept_random_state():
            rehearse_validation(runner)

    def _after_iter(self, *args, **kwargs) -> None:
        """Note that an iteration is done."""
        self.has_begun = True

    def expected_errors(self) -> tuple:
        """Return the errors that are reported as one message."""
        return RUN_ERRORS if self.has_begun else SET_UP_ERRORS


def load_config(
    args: Namespace, decided: Mapping[str, str] | None = None
) -> Config:
    """Read the configuration and apply what both tools have in common.

    Further settings that a tool sets itself are ``decided``, by the argument
    told. ``work_dir`` is always set.

    Raises:
        UsageError: If the file or an option cannot be used.
    """
    cfg = read_config(args.config)
    decided = {
        'launcher': '--launcher',
        '_base_': 'the config file',
        **(decided or {}),
    }
    if args.seed is not None:
        decided['randomness.seed'] = '--seed'
    options.apply_cfg_options(cfg, args.cfg_options, decided)
    if cfg.get('default_scope') is None:
        cfg.default_scope = 'mmseg'
    cfg.launcher = args.launcher
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        name = osp.splitext(osp.basename(args.config))[0]
        cfg.work_dir = osp.join('work_dirs', name)
    if args.seed is not None:
        cfg.randomness = {**cfg.get('randomness', {}), 'seed': args.seed}
    if args.data_root is not None:
        options.apply_data_root(cfg, args.data_root)
    return cfg


def read_config(path: str, is_whole: bool = True) -> Config:
    """Read a configuration file.

    Args:
        path (str): Path of the file.
        is_whole (bool): Whether it is to describe a run; a base has settings
            that only its children read.

    Raises:
        UsageError: If it cannot be read, or sets what nothing reads.
    """
    if not osp.isfile(path):
        raise UsageError(f'config not found: {osp.abspath(path)}')
    try:
        cfg = Config.fromfile(path)
    except Exception as error:
        raise UsageError(
            f'config {path} cannot be read: {type(error).__name__}: {error}'
        ) from error
    if is_whole:
        check_files(cfg)
    return cfg


def unusual_options(args: Namespace) -> list[str]:
    """List the options under which a test is no plain test."""
    options = [f'--sound {args.sound}'] if args.sound != 'true' else []
    return [*options, '--tta'] if args.tta else options


def write_scores(
    args: Namespace, metrics: dict[str, float], runner: Runner
) -> None:
    """Save the scores of a test, and what was tested how, as JSON."""
    loop = runner.test_loop
    content = {
        'config': args.config,
        'checkpoint': args.checkpoint,
        'cfg_options': args.cfg_options,
        'sound': args.sound,
        'tta': args.tta,
        'data': [
            {
                'type': type(part).__name__,
                'data_root': part.data_root,
                'split': getattr(part, 'split', None),
                'subset': getattr(part, 'subset', None),
            }
            for part in nested_datasets(loop.dataloader.dataset)
            if isinstance(part, BaseSegDataset)
        ],
        'protocols': {
            metric.prefix: metric.describe()
            for metric in loop.evaluator.metrics
            if isinstance(metric, FrameMetric)
        },
        'metrics': metrics,
    }
    # Metrics of other programs give numbers of NumPy and PyTorch. A file that
    # is there is lost only to one that is whole.
    text = json.dumps(content, indent=1, default=plain_numbers)
    with open(args.scores, 'w', encoding='utf-8') as file:
        file.write(text)


def plain_numbers(value: Any) -> Any:
    """Turn a number or array of NumPy or PyTorch into Python's own."""
    return value.tolist() if hasattr(value, 'tolist') else str(value)


def build_runner(cfg: Config) -> Runner:
    """Build the Runner, on one process or as one of several ranks."""
    prepare_launcher(cfg.launcher, cfg)
    if 'runner_type' in cfg:
        return RUNNERS.build(cfg)
    return Runner.from_cfg(cfg)
