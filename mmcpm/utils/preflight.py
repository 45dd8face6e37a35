"""What would go wrong later in a run and can be known before it starts."""

import contextlib
import random
import shutil
from collections.abc import Iterable, Iterator

import numpy as np
import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.registry import OPTIMIZERS
from mmengine.runner import Runner

from mmcpm.engine.hooks.epoch_seed_hook import nested_datasets

from .checkpoints import unwrap
from .errors import UsageError, describe

# The window of the sound may be so much longer than what is used of it: 96 of
# 101 frames of a second.
LONGEST_WINDOW = 1.1


def check_numbers(cfg: Config, dataloaders: Iterable[str]) -> None:
    """Refuse settings that are no numbers, or cannot be meant.

    Args:
        cfg (Config): The configuration.
        dataloaders (Iterable[str]): Names of the dataloaders to look at.

    Raises:
        UsageError: Names the setting, what it must be and what it is.
    """
    wanted = [('train_cfg', 'max_epochs', 1), ('train_cfg', 'max_iters', 1)]
    for name in dataloaders:
        wanted += [(name, 'batch_size', 1), (name, 'num_workers', 0)]
    for part, key, least in wanted:
        value = (cfg.get(part) or {}).get(key)
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if value is not None and not (is_number and value >= least):
            raise UsageError(
                f'{part}.{key} must be a whole number, at least {least}, but '
                f'is {value!r}. Set it with --cfg-options {part}.{key}=N'
            )


def check_run(runner: Runner, loops: Iterable) -> None:
    """Look at the data and the scores of a run that is about to start.

    Random numbers are drawn as if this had not happened.

    Args:
        runner (Runner): Of the run.
        loops (Iterable): Its built loops that are going to run.

    Raises:
        UsageError: Tells what does not fit.
    """
    for loop in loops:
        if loop is None:
            continue
        if len(loop.dataloader) == 0:
            raise UsageError(
                f'no batch can be made: {len(loop.dataloader.dataset)} '
                'samples, batches of '
                f'{getattr(loop.dataloader, "batch_size", "?")}, and '
                'incomplete ones are dropped. Use a smaller batch_size, or '
                'drop_last=False'
            )
        dataset = loop.dataloader.dataset
        name = 'val' if hasattr(loop, 'evaluator') else 'train'
        name_settings(dataset, f'{name}_dataloader.dataset')
        if is_main_process():
            for inner in nested_datasets(dataset):
                if hasattr(inner, 'missing_files'):
                    check_files(inner)
                    # Wrappers show what their first dataset gives.
                    if inner is not dataset and len(inner):
                        with kept_random_state():
                            check_sample(unwrap(runner.model), inner[0])
            with kept_random_state():
                check_sample(unwrap(runner.model), dataset[0])
        if hasattr(loop, 'evaluator'):
            check_scores(runner, loop.evaluator.metrics)
        else:
            build_optimizer(runner)
            check_space(runner)


def name_settings(dataset, path: str) -> None:
    """Tell datasets within wrappers where their settings stand.

    Args:
        dataset (Dataset): Of a dataloader.
        path (str): Of its settings.
    """
    if hasattr(dataset, 'settings_path'):
        dataset.settings_path = path
    if getattr(dataset, 'dataset', None) is not None:
        name_settings(dataset.dataset, f'{path}.dataset')
    for index, inner in enumerate(getattr(dataset, 'datasets', ())):
        name_settings(inner, f'{path}.datasets.{index}')


def build_optimizer(runner: Runner) -> None:
    """Build the optimiser of a training now rather than in the run.

    Args:
        runner (Runner): Of the training.

    Raises:
        UsageError: If its settings are not accepted.
    """
    optimizer = dict(runner.optim_wrapper).get('optimizer') or {}
    kind = optimizer.get('type') if isinstance(optimizer, dict) else None
    if isinstance(kind, str) and OPTIMIZERS.get(kind) is None:
        raise UsageError(
            f'optim_wrapper.optimizer.type={kind!r} is no registered '
            'optimiser. AdamW and SGD are, and all others of torch.optim'
        )
    try:
        runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    except (KeyError, TypeError, ValueError, AssertionError) as error:
        raise UsageError(
            'the optimiser cannot be built from optim_wrapper='
            f'{dict(runner.optim_wrapper)}: {describe(error)}'
        ) from error


def check_space(runner: Runner) -> None:
    """See whether a checkpoint has room in the work dir.

    Args:
        runner (Runner): Of the training.

    Raises:
        UsageError: If not even the weights alone have.
    """
    if not is_main_process():
        return
    weights = unwrap(runner.model).state_dict().values()
    size = sum(weight.nbytes for weight in weights) / 2**20
    free = shutil.disk_usage(runner.work_dir).free / 2**20
    # AdamW keeps two numbers per weight; the old and the new checkpoint and
    # the best one lie side by side for a moment.
    wanted = 3 * size * 3
    if free < size:
        raise UsageError(
            f'{runner.work_dir} has {free:.0f} MiB left, too little for a '
            f'single checkpoint (the weights alone are {size:.0f} MiB). Make '
            'room, or choose another --work-dir'
        )
    if free < wanted:
        runner.logger.warning(
            f'{runner.work_dir} has {free:.0f} MiB left; the checkpoints of '
            f'this training may need {wanted:.0f} MiB.'
        )


def check_files(dataset) -> None:
    """Refuse a dataset with more missing files than it may skip.

    Args:
        dataset (BaseAVSDataset): The dataset.

    Raises:
        UsageError: Counts the files and names the first.
    """
    missing = dataset.missing_files()
    allowed = getattr(dataset, 'skip_unreadable', 0)
    if len(missing) <= allowed:
        return
    more = f' and {len(missing) - 5} more' if len(missing) > 5 else ''
    remedy = (
        "Restore them from the dataset's archive, or remove the rows of their "
        'clips from the metadata.'
    )
    if not dataset.test_mode:
        path = getattr(dataset, 'settings_path', 'train_dataloader.dataset')
        remedy += (
            ' To train without them: --cfg-options '
            f'{path}.skip_unreadable={len(missing)}.'
        )
    raise UsageError(
        f'{len(missing)} files of the split '
        f'{getattr(dataset, "split", "")!r} are missing: '
        f'{", ".join(missing[:5])}{more}. {remedy}'
    )


def check_sample(model: nn.Module, sample: dict) -> None:
    """Compare the sound of a sample with what the model is built for.

    Args:
        model (nn.Module): With ``audio_frontend`` and ``audio_backbone``, or
            it is not looked at.
        sample (dict): Of the dataset, packed.

    Raises:
        UsageError: If channels, sample rate or duration differ.
    """
    frontend = getattr(model, 'audio_frontend', None)
    backbone = getattr(model, 'audio_backbone', None)
    data_sample = sample.get('data_samples')
    if frontend is None or backbone is None or data_sample is None:
        return
    if isinstance(data_sample, list | tuple):
        data_sample = data_sample[0]  # Views of test-time augmentation.
    if 'audio' not in data_sample:
        raise UsageError(
            'the samples carry no sound. The pipeline of the dataset needs '
            'LoadAudioFromFile, CutAudioToFrame and PackAVSInputs (not '
            'PackSegInputs)'
        )
    channels, length = data_sample.audio.shape
    expected = next(
        (m.in_channels for m in backbone.modules() if is_conv(m)), channels
    )
    if channels != expected:
        raise UsageError(
            f'the sound has {channels} channel(s), but model.audio_backbone '
            f'has in_channels={expected}. Let them agree: '
            "LoadAudioFromFile(channels='mono') gives one, 'stereo' two"
        )
    rate = data_sample.get('sample_rate')
    if rate is not None and rate != frontend.sample_rate:
        raise UsageError(
            f'the sound has {rate} samples per second, but '
            f'model.audio_frontend.sample_rate is {frontend.sample_rate}. '
            'Give LoadAudioFromFile the same sample_rate'
        )
    used = frontend.min_samples
    if not used <= length <= LONGEST_WINDOW * used:
        raise UsageError(
            f'CutAudioToFrame gives {length / frontend.sample_rate:g} s of '
            'sound, but model.audio_frontend makes num_frames='
            f'{frontend.num_frames} of {used / frontend.sample_rate:g} s. '
            'Set seconds and num_frames to the same duration (1 s: 96 '
            'frames, 3 s: 300)'
        )


def is_conv(module: nn.Module) -> bool:
    """Tell whether a module is a convolution."""
    return isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)


def check_scores(runner: Runner, metrics: Iterable) -> None:
    """Refuse to choose the best checkpoint by a score that is not computed.

    Args:
        runner (Runner): Of the run.
        metrics (Iterable[BaseMetric]): Of the validation.

    Raises:
        UsageError: If the name of the score has no metric's prefix.
    """
    prefixes = [m.prefix for m in metrics if m.prefix]
    for hook in runner.hooks:
        if not isinstance(hook, CheckpointHook) or not hook.save_best:
            continue
        for name in hook.key_indicators:
            if (
                name != 'auto'
                and prefixes
                and not name.startswith(tuple(f'{p}/' for p in prefixes))
            ):
                raise UsageError(
                    f'default_hooks.checkpoint.save_best={name!r} is no '
                    "score of val_evaluator; its scores' names begin with "
                    f'{" or ".join(f"{p}/" for p in prefixes)}, for example '
                    f'{prefixes[0]}/mIoU'
                )


@contextlib.contextmanager
def kept_random_state() -> Iterator[None]:
    """Give all generators their state back afterwards.

    Yields:
        None: For the block that draws numbers.
    """
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
