"""Options of the command line, applied to a configuration.

One function per option; each changes the configuration in place and refuses
what can be known to be wrong.
"""

import os
import os.path as osp
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence

import torch
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.runner import Runner
from mmseg.registry import HOOKS, OPTIM_WRAPPERS, TRANSFORMS, VISUALIZERS

from mmcpm.engine.checkpoint_files import find_newest_whole_checkpoint
from mmcpm.engine.hooks import AVSVisualizationHook
from mmcpm.engine.optim_wrappers import CPUAmpOptimWrapper
from mmcpm.utils.config_types import is_type, type_name, type_of
from mmcpm.utils.errors import UsageError
from mmcpm.utils.io import ensure_writable
from mmcpm.visualization import AVSLocalVisualizer

from .config_checks import check_spelling, datasets
from .nested_settings import innermost_datasets
from .unused_settings import check_option

DATALOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def apply_cfg_options(
    cfg: Config,
    options: Sequence[str] | None,
    decided: Mapping[str, str] | None = None,
) -> None:
    """Override settings by ``KEY=VALUE``, as mmengine's DictAction reads it.

    Those that the tool sets itself are ``decided``, by the argument told.

    Raises:
        UsageError: If an option cannot be read, or would have no effect.
    """
    action = DictAction(['--cfg-options'], 'options', nargs='+')
    for option in options or ():
        namespace = Namespace()
        try:
            action(None, namespace, [option])
        except (AssertionError, ValueError) as error:
            raise UsageError(
                f'--cfg-options expects KEY=VALUE with balanced brackets and '
                f"no blanks, e.g. train_cfg.max_epochs=10 or 'crop=(96,96)', "
                f'but got {option!r}'
            ) from error
        for key in namespace.options:
            if key in (decided or {}):
                raise UsageError(
                    f'--cfg-options {key} has no effect: {decided[key]} '
                    'decides'
                )
            check_spelling(cfg, key)
            check_option(cfg, key)
        try:
            cfg.merge_from_dict(namespace.options)
        except Exception as error:
            raise UsageError(
                f'--cfg-options {option} does not fit the '
                f'configuration: {error}'
            ) from error


def apply_data_root(cfg: Config, data_root: str) -> None:
    """Read the data of every dataloader from one folder or address."""
    if '://' not in data_root:
        data_root = osp.abspath(osp.expanduser(data_root))
    if '://' not in data_root and not osp.isdir(data_root):
        reason = 'a file' if osp.exists(data_root) else 'nothing'
        raise UsageError(
            f'--data-root is not a folder: {data_root} ({reason} is there). '
            'Expected the folder that holds the metadata of the dataset'
        )
    for name in DATALOADERS:
        found = innermost_datasets(cfg, name)
        roots = {
            path: osp.normpath(settings.data_root)
            for path, settings in found
            if settings.get('data_root')
        }
        if len(set(roots.values())) > 1:
            listing = ', '.join(
                f'{path}.data_root={root}' for path, root in roots.items()
            )
            raise UsageError(
                f'--data-root names one folder, but {name} joins datasets '
                f'from several. Name each with --cfg-options: {listing}'
            )
        for _, settings in found:
            settings.data_root = data_root


def apply_amp(cfg: Config) -> None:
    """Train with automatic mixed precision on this machine's device.

    Raises:
        UsageError: If one of them is of a type of its own.
    """
    for wrapper in optim_wrappers(cfg.optim_wrapper):
        present = (AmpOptimWrapper, CPUAmpOptimWrapper)
        if is_type(wrapper, present, OPTIM_WRAPPERS):
            continue
        kind = type_of({'type': 'OptimWrapper', **wrapper}, OPTIM_WRAPPERS)
        if kind is not OptimWrapper:
            raise UsageError(
                '--amp replaces an optim_wrapper of type OptimWrapper, but '
                f'the configuration has {type_name(wrapper, OPTIM_WRAPPERS)}'
            )
        if torch.cuda.is_available():
            wrapper.type = 'mmengine.AmpOptimWrapper'
            wrapper.setdefault('loss_scale', 'dynamic')
        else:
            wrapper.type = 'mmseg.CPUAmpOptimWrapper'


def optim_wrappers(settings: ConfigDict) -> list[ConfigDict]:
    """List the wrappers of a training's optimizers.

    Returns:
        list[ConfigDict]: Settings of each; those given, if it is one.
    """
    parts = [
        part
        for part in settings.values()
        if isinstance(part, dict) and 'optimizer' in part
    ]
    return [settings] if 'optimizer' in settings or not parts else parts


def apply_auto_scale_lr(cfg: Config) -> None:
    """Scale the learning rate with the batch size."""
    settings = cfg.get('auto_scale_lr') or {}
    base = settings.get('base_batch_size')
    if not isinstance(base, int) or isinstance(base, bool) or base < 1:
        raise UsageError(
            '--auto-scale-lr needs the batch size that the learning rate was '
            'chosen for: add auto_scale_lr = dict(base_batch_size=16) to the '
            'configuration, or --cfg-options auto_scale_lr.base_batch_size=16'
        )
    if cfg.train_dataloader.get('batch_size') is None:
        raise UsageError(
            '--auto-scale-lr needs train_dataloader.batch_size, which a '
            'batch_sampler replaces here: set the learning rate itself'
        )
    accumulated_batches(cfg.optim_wrapper)
    settings['enable'] = True
    cfg.auto_scale_lr = settings


def accumulated_batches(wrapper: dict) -> int:
    """How many batches one update of the weights takes.

    Raises:
        UsageError: If several optimizers differ in it.
    """
    counts = {
        part.get('accumulative_counts', 1) for part in optim_wrappers(wrapper)
    }
    if len(counts) > 1:
        raise UsageError(
            '--auto-scale-lr scales the rates of all optimizers alike, but '
            f'their accumulative_counts are {sorted(counts)}: set the '
            'learning rates themselves'
        )
    return counts.pop()


def scale_lr_for_accumulation(runner: Runner) -> None:
    """Let mmengine's scaling of the rate see the batches of an update.

    mmengine compares the batches of all ranks with ``base_batch_size`` and
    leaves out ``accumulative_counts``. The configuration, which is saved,
    keeps the number that was given.
    """
    settings = runner.auto_scale_lr
    if not (settings and settings.get('enable')):
        return
    count = accumulated_batches(runner.cfg.optim_wrapper)
    if count == 1:
        return
    base = settings['base_batch_size']
    batch = runner.cfg.train_dataloader.batch_size * runner.world_size
    runner.auto_scale_lr = {**settings, 'base_batch_size': base / count}
    # Of ClipDataset, samples are clips.
    runner.logger.info(
        f'An update takes {count} batches of {batch} samples, {count * batch} '
        f'in all; the learning rate is meant for {base}.'
    )


def apply_resume(cfg: Config, resume: str | None) -> None:
    """Choose the checkpoint to continue from.

    Args:
        cfg (Config): Changed in place.
        resume (str, optional): A checkpoint, or 'auto' for the newest whole
            one of the work dir. Where there is none the training starts anew.
    """
    cfg.resume = bool(cfg.get('resume')) if resume is None else True
    if resume not in (None, 'auto'):
        cfg.load_from = resume
    elif cfg.resume and (resume == 'auto' or not cfg.get('load_from')):
        newest = find_newest_whole_checkpoint(cfg.work_dir)
        if newest is None:
            cfg.resume = False
            print(f'Nothing to resume in {cfg.work_dir}: starting anew.')
        else:
            cfg.load_from = newest


def apply_tta(cfg: Config) -> None:
    """Test with the augmentations of the configuration's ``tta_pipeline``."""
    missing = [key for key in ('tta_model', 'tta_pipeline') if key not in cfg]
    if missing:
        raise UsageError(
            f'--tta needs {" and ".join(missing)} in the configuration (see '
            'configs/_base_/tta.py for an example; the pipeline has to flip '
            'the audio channels together with the frame)'
        )
    for _, dataset in datasets(cfg, ('test_dataloader',)):
        check_same_steps(dataset.get('pipeline') or [], cfg.tta_pipeline)
        dataset.pipeline = cfg.tta_pipeline
    model = ConfigDict(cfg.tta_model)
    model.module = cfg.model
    cfg.model = model


def check_same_steps(plain: Sequence[dict], augmented: Sequence[dict]) -> None:
    """Refuse a test pipeline whose settings --tta would not follow."""
    before = list(zip(plain[:-1], augmented[:-1], strict=False))
    names = [
        [type_name(step, TRANSFORMS) for step in steps] for steps in before
    ]
    if any(one != other for one, other in names):
        return  # It was written on its own.
    for number, (one, other) in enumerate(before):
        # The same type may be told by name and as a class.
        if {**one, 'type': None} != {**other, 'type': None}:
            raise UsageError(
                f'test_dataloader.dataset.pipeline.{number} is {dict(one)}, '
                f'but tta_pipeline.{number} is {dict(other)}, and --tta '
                'follows the second. Let them agree'
            )


def apply_sound(cfg: Config, sound: str) -> None:
    """Let the model hear something else than what belongs to the frames."""
    loader = cfg.test_dataloader
    loader.dataset = ConfigDict(
        type='mmseg.CounterfactualAudioDataset',
        dataset=loader.dataset,
        sound=sound,
    )


def apply_out(cfg: Config, out: str) -> None:
    """Write the predicted label maps to a folder.

    A hook writes them, so that any number of metrics may stand in
    ``test_evaluator``.
    """
    ensure_writable(out, '--out')
    hook = {'type': 'mmseg.PredictionWriterHook', 'out_dir': out}
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or ()), hook]


def apply_show(
    cfg: Config, show: bool, show_dir: str | None, wait_time: float
) -> None:
    """Draw every prediction."""
    if (
        show
        and sys.platform.startswith('linux')
        and not (
            os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')
        )
    ):
        raise UsageError(
            '--show needs a display and there is none; use '
            '--show-dir to save the pictures'
        )
    if show_dir is not None:
        ensure_writable(show_dir, '--show-dir')
    visualizer = cfg.get('visualizer') or {}
    if not is_type(visualizer, AVSLocalVisualizer, VISUALIZERS):
        kept = {
            key: visualizer[key]
            for key in ('name', 'vis_backends', 'save_dir')
            if key in visualizer
        }
        cfg.visualizer = {'type': 'mmseg.AVSLocalVisualizer', **kept}
    if cfg.get('default_hooks') is None:
        cfg.default_hooks = {}
    hook = cfg.default_hooks.get('visualization')
    if not is_type(hook, AVSVisualizationHook, HOOKS):
        hook = {'type': 'mmseg.AVSVisualizationHook'}
    # A copy: unpacked, the class of a pure-Python configuration would take
    # the place of its address, which alone can be dumped.
    cfg.default_hooks.visualization = ConfigDict(hook)
    cfg.default_hooks.visualization.update(
        draw=True,
        interval=1,
        show=show,
        show_dir=show_dir,
        wait_time=wait_time,
    )
