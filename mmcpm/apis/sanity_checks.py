"""Checks of the data, the model and the loops of a run, before it starts."""

import contextlib
import random
from collections.abc import Iterable, Iterator

import numpy as np
import torch
import torch.nn as nn
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size, is_main_process
from mmengine.runner import IterBasedTrainLoop, Runner, ValLoop
from mmseg.structures import SegDataSample
from torch.utils.data import DataLoader, Dataset

from mmcpm.datasets import clip_collate
from mmcpm.datasets.clip_dataset import frame_samples
from mmcpm.engine.hooks.epoch_seed_hook import nested_datasets
from mmcpm.evaluation.metrics.frame_metric import FrameMetric
from mmcpm.models.decode_heads.cpm_head_cfg import NO_MIXTURE
from mmcpm.models.segmentors import CPMEncoderDecoder
from mmcpm.utils.checkpoints import unwrap
from mmcpm.utils.errors import UsageError, shorten

from .evaluation_checks import check_batches, check_padding
from .loop_checks import build_optimizer, check_loop, check_space
from .score_names import computed_scores

# The window of the sound may be so much longer than what is used of it: 96 of
# 101 frames of a second.
LONGEST_WINDOW = 1.1


def check_run(runner: Runner, loops: Iterable) -> None:
    """Look at the data and the scores of a run that is about to start.

    Random numbers are drawn as if this had not happened.

    Raises:
        UsageError: Tells what does not fit.
    """
    model = unwrap(runner.model)
    check_padding(model)
    for loop in filter(None, loops):
        dataloader, dataset = loop.dataloader, loop.dataloader.dataset
        is_evaluation = hasattr(loop, 'evaluator')
        if len(dataloader) == 0:
            raise UsageError(
                f'no batch can be made: {len(dataset)} samples, batches of '
                f'{getattr(dataloader, "batch_size", "?")}, and incomplete '
                'ones are dropped. Use a smaller batch_size, or '
                'drop_last=False'
            )
        is_endless = isinstance(dataloader.sampler, InfiniteSampler)
        if is_endless and not isinstance(loop, IterBasedTrainLoop):
            raise UsageError(
                f'{type(loop).__name__} would never come to the end of an '
                'InfiniteSampler. Use DefaultSampler, or train with '
                'IterBasedTrainLoop'
            )
        name = 'val' if is_evaluation else 'train'
        name_settings(dataset, f'{name}_dataloader.dataset')
        if is_main_process():
            with kept_random_state():
                check_data(model, loop, is_evaluation)
        if is_evaluation:
            computed_scores(loop.evaluator.metrics, ())
        else:
            check_loop(runner, loop)
            build_optimizer(runner)
            check_space(runner)


def check_data(model: nn.Module, loop, is_evaluation: bool) -> None:
    """Refuse samples of a loop that the model or the scores cannot use."""
    dataset = loop.dataloader.dataset
    for inner in nested_datasets(dataset):
        if hasattr(inner, 'missing_files'):
            check_files(inner)
            # Wrappers show what their first dataset gives.
            if inner is not dataset and len(inner):
                check_sample(model, inner[0])
    sample = dataset[0]
    check_collation(loop, sample)
    # Of a clip, what holds for its first frame holds for all.
    sample = frame_samples(sample)[0]
    check_sample(model, sample)
    if is_evaluation:
        check_batches(loop, model)
        check_protocols(loop.evaluator.metrics, dataset, sample)
    else:
        check_mixtures(model)
        check_partners(model, loop.dataloader, sample)


def name_settings(dataset, path: str) -> None:
    """Tell datasets within wrappers where their settings stand."""
    if hasattr(dataset, 'settings_path'):
        dataset.settings_path = path
    if getattr(dataset, 'dataset', None) is not None:
        name_settings(dataset.dataset, f'{path}.dataset')
    for index, inner in enumerate(getattr(dataset, 'datasets', ())):
        name_settings(inner, f'{path}.datasets.{index}')


def check_files(dataset) -> None:
    """Refuse a dataset with more missing files than it may skip."""
    missing = dataset.missing_files()
    allowed = getattr(dataset, 'skip_unreadable', 0)
    if len(missing) <= allowed:
        return
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
        f'{shorten(missing)}. {remedy}'
    )


def check_sample(model: nn.Module, sample: dict) -> None:
    """Compare the sound of a sample with what the model is built for."""
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


def check_collation(loop, sample: dict | list) -> None:
    """Refuse clips that are not joined as such, and frames that are."""
    collate = getattr(loop.dataloader, 'collate_fn', None)
    collate = getattr(collate, 'func', collate)  # mmengine's partial.
    if isinstance(sample, list) == (collate is clip_collate):
        return
    name = 'train_dataloader'
    if hasattr(loop, 'evaluator'):
        name = (
            'val_dataloader'
            if isinstance(loop, ValLoop)
            else ('test_dataloader')
        )
    if isinstance(sample, list):
        raise UsageError(
            f'the dataset of {name} gives clips (ClipDataset), which are '
            f"joined by {name}.collate_fn=dict(type='clip_collate'), but "
            f'{name}.collate_fn is {getattr(collate, "__name__", collate)}'
        )
    raise UsageError(
        f"{name}.collate_fn=dict(type='clip_collate') joins clips, but the "
        'dataset gives single frames. Put ClipDataset around it, or leave '
        'collate_fn out'
    )


def check_mixtures(model: nn.Module) -> None:
    """Refuse a training whose segmentor makes no mixtures for its head."""
    head = getattr(model, 'decode_head', None)
    wanted = getattr(head, 'use_mixtures', False)
    if wanted and not isinstance(model, CPMEncoderDecoder):
        raise UsageError(NO_MIXTURE)


def check_partners(
    model: nn.Module, dataloader: DataLoader, sample: dict
) -> None:
    """Refuse a training in which no sound can be mixed with another.

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
    """
    parts = [d for d in nested_datasets(dataset) if hasattr(d, 'sample_ids')]
    # Wrappers may show the same frames several times.
    different = {tuple(part.sample_ids()): part for part in parts}
    names = sorted({name for ids in different for name in ids})
    left_out = sum(d.split_length - len(d) for d in different.values())
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
            metric.split_frames = len(names) + left_out
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
    """Give all generators their state back afterwards."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
