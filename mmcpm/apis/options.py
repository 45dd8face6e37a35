"""Apply the options of the command line to a configuration.

One function per option; each changes the configuration in place and refuses
what can be known to be wrong.
"""

import difflib
import os
import os.path as osp
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.fileio import list_from_file
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.runner import Runner
from mmseg.registry import (
    DATASETS,
    HOOKS,
    OPTIM_WRAPPERS,
    TRANSFORMS,
    VISUALIZERS,
)

from mmcpm.datasets import BaseAVSDataset
from mmcpm.engine.checkpoint_files import find_newest_whole_checkpoint
from mmcpm.engine.hooks import AVSVisualizationHook
from mmcpm.engine.optim_wrappers import CPUAmpOptimWrapper
from mmcpm.utils.config_types import is_type, type_name, type_of
from mmcpm.utils.errors import UsageError
from mmcpm.utils.io import ensure_writable
from mmcpm.visualization import AVSLocalVisualizer

from .nested_settings import innermost_datasets, set_data_root
from .unused_settings import check_option

# num_classes of a head that has as many as the data.
AUTO = 'auto'
DATALOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def apply_cfg_options(
    cfg: Config,
    options: Sequence[str] | None,
    decided: Mapping[str, str] | None = None,
) -> None:
    """Override settings.

    Args:
        cfg (Config): Changed in place.
        options (Sequence[str], optional): ``KEY=VALUE`` each, as mmengine's
            DictAction reads them.
        decided (Mapping[str, str], optional): Settings that the tool sets
            itself, and by what argument.

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


def check_spelling(cfg: Config, key: str) -> None:
    """Refuse a new setting that looks like a misspelt one.

    mmengine adds every unknown setting, and many classes ignore the ones they
    do not know: the run would not be what was asked for.

    Args:
        cfg (Config): The configuration.
        key (str): Name of the setting, with dots.

    Raises:
        UsageError: Names the setting that was probably meant.
    """
    settings, path = cfg, []
    for part in key.split('.'):
        if not isinstance(settings, Config | dict):
            return
        if part not in settings:
            names = set(settings)
            if settings is cfg:  # Pure Python: what it imports is no setting.
                names -= getattr(cfg, '_imported_names', set())
            near = difflib.get_close_matches(part, sorted(names), 1, 0.85)
            if near and not are_two_names(part, near[0]):
                raise UsageError(
                    f'--cfg-options {key}: the configuration has no '
                    f'{".".join([*path, part])}. Did you mean '
                    f'{".".join([*path, near[0]])}?'
                )
            return
        settings = settings[part]
        path.append(part)


def are_two_names(first: str, second: str) -> bool:
    """Tell names apart that differ in an abbreviation, such as loss_pcl.

    Args:
        first (str): A name.
        second (str): One like it.

    Returns:
        bool: Whether a part of at most three letters is what differs.
    """
    parts = first.split('_'), second.split('_')
    return len(parts[0]) == len(parts[1]) and any(
        one != other and max(len(one), len(other)) <= 3
        for one, other in zip(*parts, strict=True)
    )


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
    set_data_root(cfg, DATALOADERS, data_root)


def apply_amp(cfg: Config) -> None:
    """Train with automatic mixed precision on this machine's device."""
    wrapper = cfg.optim_wrapper
    present = (AmpOptimWrapper, CPUAmpOptimWrapper)
    if is_type(wrapper, present, OPTIM_WRAPPERS):
        return
    kind = type_of({'type': 'OptimWrapper', **wrapper}, OPTIM_WRAPPERS)
    if kind is not OptimWrapper:
        raise UsageError(
            '--amp replaces an optim_wrapper of type OptimWrapper, but the '
            f'configuration has {type_name(wrapper, OPTIM_WRAPPERS)}'
        )
    if torch.cuda.is_available():
        wrapper.type = 'mmengine.AmpOptimWrapper'
        wrapper.setdefault('loss_scale', 'dynamic')
    else:
        wrapper.type = 'mmseg.CPUAmpOptimWrapper'


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

    Args:
        wrapper (dict): ``optim_wrapper``, of one optimizer or several.

    Returns:
        int: ``accumulative_counts``.

    Raises:
        UsageError: If several optimizers differ in it.
    """
    parts = [
        part
        for part in (wrapper, *wrapper.values())
        if isinstance(part, dict) and 'optimizer' in part
    ]
    counts = {part.get('accumulative_counts', 1) for part in parts} or {1}
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

    Args:
        runner (Runner): Of a training; its ``auto_scale_lr`` is changed.
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
    runner.logger.info(
        f'An update takes {count} batches of {batch} frames, {count * batch} '
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
    """Refuse a test pipeline whose settings --tta would not follow.

    Args:
        plain (Sequence[dict]): Steps of the dataset's pipeline.
        augmented (Sequence[dict]): Those of ``tta_pipeline``.

    Raises:
        UsageError: If a step before the views has other settings in one.
    """
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
    """Let the model hear something else than what belongs to the frames.

    Args:
        cfg (Config): Changed in place.
        sound (str): 'silence' or 'swapped', see CounterfactualAudioDataset.
    """
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
    """Draw every prediction.

    Args:
        cfg (Config): Changed in place.
        show (bool): Whether to open a window.
        show_dir (str, optional): Folder to save the pictures in.
        wait_time (float): Seconds a window stays; 0 waits for a key.
    """
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


def check_classes(cfg: Config, dataloaders: Iterable[str]) -> None:
    """Compare ``num_classes`` of the heads with the classes of the datasets.

    Args:
        cfg (Config): The configuration; see :func:`fill_num_classes`.
        dataloaders (Iterable[str]): Names of the dataloaders to look at.

    Raises:
        UsageError: If they differ, or if a dataset type is not registered.
    """
    fill_num_classes(cfg, dataloaders)
    for name, dataset in datasets(cfg, dataloaders):
        classes = classes_of(name, dataset)
        for path, head in heads(cfg):
            count = head.get('num_classes')
            if classes is None or count in (None, len(classes)):
                continue
            raise UsageError(
                f'{path}.num_classes is {count}, but the dataset of '
                f'{name} has {len(classes)} classes, the background included '
                f'({type_name(dataset, DATASETS)}: {", ".join(classes[:3])}, '
                f'...). Set {path}.num_classes={len(classes)}'
            )


def fill_num_classes(cfg: Config, dataloaders: Iterable[str]) -> None:
    """Give the heads that say ``num_classes='auto'`` as many as the data have.

    Args:
        cfg (Config): Changed in place, so that copies of it say the number.
        dataloaders (Iterable[str]): Names of dataloaders; the first that the
            configuration has decides.

    Raises:
        UsageError: If a head says so and no dataset tells its classes.
    """
    waiting = [(p, h) for p, h in heads(cfg) if h.get('num_classes') == AUTO]
    if not waiting:
        return
    name, dataset = next(datasets(cfg, dataloaders), ('', None))
    classes = dataset and classes_of(name, dataset)
    if not classes:
        raise UsageError(
            f"{waiting[0][0]}.num_classes='auto' takes the number from the "
            f'dataset of {name or " or ".join(dataloaders)}, which tells no '
            'classes. Set the number'
        )
    for _, head in waiting:
        head['num_classes'] = len(classes)


def classes_of(name: str, dataset: ConfigDict) -> Sequence[str] | None:
    """Find the classes of a dataset without building it.

    Args:
        name (str): Of its dataloader, for messages.
        dataset (ConfigDict): Its settings.

    Returns:
        Sequence[str] | None: Their names; None if it does not tell.

    Raises:
        UsageError: If its type is not registered, or its class list cannot
            be used.
    """
    cls = type_of(dataset, DATASETS)
    if cls is None:
        raise UsageError(
            f'{name}: {dataset.get("type")} is not a registered dataset. '
            "Check its spelling, and custom_imports = dict(imports=['"
            "mmcpm'])"
        )
    if issubclass(cls, BaseAVSDataset):
        metainfo = cls.read_metainfo(dataset)
    else:
        metainfo = {
            **getattr(cls, 'METAINFO', {}),
            **(dataset.get('metainfo') or {}),
        }
    classes = metainfo.get('classes')
    return list_from_file(classes) if isinstance(classes, str) else classes


def heads(cfg: Config) -> Iterator[tuple[str, ConfigDict]]:
    """Yield where the settings of every head stand, and the settings."""
    for part in ('decode_head', 'auxiliary_head'):
        found = cfg.model.get(part) or []
        for head in [found] if isinstance(found, dict) else found:
            yield f'model.{part}', head


def datasets(
    cfg: Config, dataloaders: Iterable[str]
) -> Iterator[tuple[str, ConfigDict]]:
    """Yield dataloader names and their datasets, out of any wrappers."""
    for name in dataloaders:
        for _, dataset in innermost_datasets(cfg, name):
            yield name, dataset
