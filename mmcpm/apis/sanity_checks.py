"""What would go wrong later in a run and can be known before it starts."""

import contextlib
import random
import shutil
from collections.abc import Iterable, Iterator

import numpy as np
import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.registry import OPTIMIZERS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from mmseg.structures import SegDataSample
from torch.utils.data import DataLoader, Dataset

from mmcpm.engine.hooks.epoch_seed_hook import nested_datasets
from mmcpm.evaluation.metrics.frame_metric import FrameMetric
from mmcpm.models.decode_heads.cpm_head import NO_MIXTURE
from mmcpm.models.segmentors import CPMEncoderDecoder
from mmcpm.utils.checkpoints import unwrap
from mmcpm.utils.errors import UsageError, describe

from .evaluation_checks import check_batches, check_padding
from .score_names import (
    check_scores,
    computed_scores,
    is_plateau,
    schedules,
    setting,
)

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
    wanted = [
        ('train_cfg', key, least)
        for key, least in (
            ('max_epochs', 1),
            ('max_iters', 1),
            ('val_begin', 0),
            ('val_interval', 1),
        )
    ]
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
    loops = list(loops)
    check_padding(unwrap(runner.model))
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
        if isinstance(
            loop.dataloader.sampler, InfiniteSampler
        ) and not isinstance(loop, IterBasedTrainLoop):
            raise UsageError(
                f'{type(loop).__name__} would never come to the end of an '
                'InfiniteSampler. Use DefaultSampler, or train with '
                'IterBasedTrainLoop'
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
                sample = dataset[0]
                check_sample(unwrap(runner.model), sample)
                if hasattr(loop, 'evaluator'):
                    check_batches(loop, unwrap(runner.model))
            if hasattr(loop, 'evaluator'):
                check_protocols(loop.evaluator.metrics, dataset, sample)
            else:
                check_mixtures(unwrap(runner.model))
                check_partners(unwrap(runner.model), loop.dataloader, sample)
        if hasattr(loop, 'evaluator'):
            computed_scores(loop.evaluator.metrics, ())
        else:
            check_loop(runner, loop)
            build_optimizer(runner)
            check_space(runner)


def check_loop(runner: Runner, loop) -> None:
    """Refuse hooks and schedules that wait for what a loop never does.

    Args:
        runner (Runner): Of the training.
        loop (BaseLoop): That trains.

    Raises:
        UsageError: Tells what would never happen.
    """
    check_scores(runner, runner.val_loop)
    by_epoch = isinstance(loop, EpochBasedTrainLoop)
    unit, last = 'epochs', loop.max_epochs
    if not by_epoch:
        unit, last = 'iterations', loop.max_iters
    if runner.val_loop is not None and getattr(loop, 'val_begin', 0) > last:
        raise UsageError(
            f'train_cfg.val_begin={loop.val_begin} is after the end of the '
            f'training ({last} {unit}): nothing would be validated. To train '
            'without validation set val_cfg, val_dataloader and '
            'val_evaluator to None'
        )
    checkpoints = [h for h in runner.hooks if isinstance(h, CheckpointHook)]
    if not isinstance(loop, IterBasedTrainLoop):
        for hook in checkpoints:
            if by_epoch and not hook.by_epoch:
                runner.logger.warning(
                    f'{type(hook).__name__} saves every {hook.interval} '
                    f'iterations of epochs of {len(loop.dataloader)}: a '
                    'checkpoint within an epoch cannot be resumed. Set '
                    'by_epoch=True to save after epochs.'
                )
        return
    for hook in checkpoints:
        if hook.by_epoch:
            raise UsageError(
                'IterBasedTrainLoop has no epochs, so that default_hooks.'
                'checkpoint would save nothing before the end: set '
                'checkpoint=dict(by_epoch=False, interval=N)'
            )
    for schedule in schedules(runner.param_schedulers):
        if (
            setting(schedule, 'by_epoch', True)
            and not setting(schedule, 'convert_to_iter_based', False)
            and not is_plateau(schedule)
        ):
            raise UsageError(
                'IterBasedTrainLoop has no epochs, so that a param_scheduler '
                'with by_epoch=True never takes a step: give all of them '
                'by_epoch=False, and begin and end in iterations'
            )
    if runner.log_processor.by_epoch:
        runner.logger.warning(
            'IterBasedTrainLoop has no epochs, but the log counts in epochs: '
            'set log_processor=dict(by_epoch=False) and default_hooks.logger.'
            'log_metric_by_epoch=False.'
        )


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


def check_mixtures(model: nn.Module) -> None:
    """Refuse a training whose segmentor makes no mixtures for its head.

    Args:
        model (nn.Module): The segmentor.

    Raises:
        UsageError: Tells which segmentor does.
    """
    head = getattr(model, 'decode_head', None)
    wanted = getattr(head, 'use_mixtures', False)
    if wanted and not isinstance(model, CPMEncoderDecoder):
        raise UsageError(NO_MIXTURE)


def check_partners(
    model: nn.Module, dataloader: DataLoader, sample: dict
) -> None:
    """Refuse a training in which no sound can be mixed with another.

    Args:
        model (nn.Module): Checked if its decode head uses mixtures.
        dataloader (DataLoader): Of the training.
        sample (dict): Of its dataset, packed.

    Raises:
        UsageError: If every batch is a single frame, on a single process,
            and nothing is recorded off the screen.
    """
    head = getattr(model, 'decode_head', None)
    size = getattr(dataloader.batch_sampler, 'batch_size', None)
    if (
        getattr(head, 'use_mixtures', False)
        and size == 1
        and get_world_size() == 1
        and 'offscreen_audio' not in sample.get('data_samples', ())
    ):
        raise UsageError(
            'loss_acp mixes the sound of a frame with that of another, but '
            'with train_dataloader.batch_size=1 on one process there is no '
            'other. Set train_dataloader.batch_size=2 or more (with '
            '--auto-scale-lr), or add '
            "LoadOffscreenAudio(folder='<recordings>') to the pipeline of the "
            'dataset'
        )


def check_protocols(metrics: Iterable, dataset: Dataset, sample: dict) -> None:
    """Refuse an evaluation that no score's name would hold for.

    Tells the metrics, too, how many frames the split has, where ``indices``
    leaves some out.

    Args:
        metrics (Iterable[BaseMetric]): Of the evaluation.
        dataset (Dataset): Of the evaluation, maybe a wrapper.
        sample (dict): Of the dataset, packed.

    Raises:
        UsageError: Tells which size or which frames are missing.
    """
    parts = [d for d in nested_datasets(dataset) if hasattr(d, 'sample_ids')]
    names = sorted({name for part in parts for name in part.sample_ids()})
    views = sample.get('data_samples') or []
    views = views if isinstance(views, list | tuple) else [views]
    for metric in metrics:
        if not isinstance(metric, FrameMetric):
            continue
        faults = []
        for view in views:
            if 'sample_id' in view and 'gt_sem_seg' in view:
                faults.append(size_fault(metric, view))
        # One view of test-time augmentation has to show the frame as it is.
        if faults and all(faults):
            raise UsageError(faults[0])
        if names:
            metric.split_frames = sum(part.split_length for part in parts)
            try:
                metric.check_names(names)
            except ValueError as error:
                raise UsageError(str(error)) from error


def size_fault(metric: FrameMetric, view: SegDataSample) -> str:
    """Tell why a metric refuses the size of a frame; '' if it does not."""
    try:
        metric.check_size(view.to_dict())
    except ValueError as error:
        return str(error)
    return ''


def is_conv(module: nn.Module) -> bool:
    """Tell whether a module is a convolution."""
    return isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)


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
