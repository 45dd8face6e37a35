"""Checks of evaluation batches, before a training starts.

An evaluation comes after a whole epoch; what upstream asserts there would
throw that epoch away.
"""

import copy
import os.path as osp
from typing import Any

import torch
import torch.nn as nn
from mmengine.dist import get_world_size, is_main_process
from mmengine.model import MMDistributedDataParallel, is_model_wrapper
from mmengine.runner import Runner, ValLoop
from mmengine.runner.amp import autocast
from mmseg.models import SegDataPreProcessor
from PIL import Image
from torch.utils.data import Dataset

from mmcpm.datasets.clip_dataset import ClipDataset, frame_samples
from mmcpm.datasets.dataset_wrappers import source_of
from mmcpm.engine.hooks.epoch_seed_hook import nested_datasets
from mmcpm.utils.errors import UsageError

ORIENTATION = 0x0112  # The tag of EXIF.


def check_padding(model: nn.Module) -> None:
    """Refuse paddings that cannot be meant, of training or evaluation."""
    preprocessor = getattr(model, 'data_preprocessor', None)
    if not isinstance(preprocessor, SegDataPreProcessor):
        return
    settings = {
        'data_preprocessor': {
            'size': preprocessor.size,
            'size_divisor': preprocessor.size_divisor,
        }
    }
    if preprocessor.test_cfg:
        settings['data_preprocessor.test_cfg'] = preprocessor.test_cfg
    for name, values in settings.items():
        size, divisor = values.get('size'), values.get('size_divisor')
        if (size is None) == (divisor is None):
            raise UsageError(
                f'model.{name} needs one of size and size_divisor, to pad '
                f'the frames of a batch to one size, but has size={size} '
                f'and size_divisor={divisor}. Set the other to None'
            )


def has_clip_samples(dataset: Dataset) -> bool:
    """Tell whether the samples of a dataset are clips of frames."""
    parts = nested_datasets(dataset)
    return any(isinstance(part, ClipDataset) for part in parts)


def check_batches(loop: Any, model: nn.Module) -> None:
    """Refuse evaluation batches of frames that differ in size."""
    batch_size = getattr(loop.dataloader, 'batch_size', None) or 1
    dataset = loop.dataloader.dataset
    has_clips = has_clip_samples(dataset)
    if (
        (batch_size == 1 and not has_clips)
        or not hasattr(dataset, 'get_data_info')
        or not isinstance(
            getattr(model, 'data_preprocessor', None), SegDataPreProcessor
        )
    ):
        return
    kinds = [stored_sizes(dataset, i) for i in range(len(dataset))]
    read: dict[Any, tuple] = {}
    for indices in batches(loop, batch_size):
        # One sample of each stored size tells what the pipeline makes of it.
        different = {kinds[i]: i for i in reversed(indices)}
        if len(different) == 1 and len(set(*different)) == 1:
            continue
        for kind, index in different.items():
            if kind not in read:
                read[kind] = sample_size(dataset, index)
        first, *others = sorted(different, key=different.get)
        for kind in others:
            if read[kind] != read[first]:
                name = 'val' if isinstance(loop, ValLoop) else 'test'
                one, other = (
                    dataset.get_data_info(different[k]).get('sample_id')
                    for k in (first, kind)
                )
                raise UsageError(
                    f'{name}_dataloader.batch_size={batch_size} puts {one} '
                    f'of {read[first]} and {other} of {read[kind]} pixels '
                    '(height, width, after the pipeline) into one batch, '
                    'but the frames of an evaluation batch must have one '
                    f'size. Set {name}_dataloader.batch_size=1, or let the '
                    'pipeline resize to one size (Resize with '
                    'keep_ratio=False)'
                )


def batches(loop: Any, batch_size: int) -> list[list[int]]:
    """List the batches of an evaluation, of all ranks."""
    length = len(loop.dataloader.dataset)
    if getattr(loop.dataloader.sampler, 'shuffle', False):
        return [list(range(length))]  # Any two may come together.
    world_size = get_world_size()
    ranks = [range(rank, length, world_size) for rank in range(world_size)]
    return [
        list(part[start : start + batch_size])
        for part in ranks
        for start in range(0, len(part), batch_size)
    ]


def stored_size(path: str | None) -> tuple | None:
    """Read size and orientation from the header of a picture.

    Returns:
        tuple, optional: What pictures of one size have in common; None if
        that cannot be read, which is not reported here.
    """
    if path is None or not osp.isfile(path):
        return None
    try:
        with Image.open(path) as image:
            return image.size, image.getexif().get(ORIENTATION)
    except (OSError, SyntaxError, ValueError):
        return None


def stored_sizes(dataset: Dataset, index: int) -> tuple:
    """Read the sizes of the pictures of a sample: one, or those of a clip."""
    source, inner = source_of(dataset, index)
    infos = [dataset.get_data_info(index)]
    if isinstance(source, ClipDataset):
        infos = source.frames_of(inner)
    return tuple(stored_size(info.get('img_path')) for info in infos)


def sample_size(dataset: Dataset, index: int) -> tuple:
    """Height and width of a sample after the pipeline.

    Raises:
        UsageError: If the frames of a clip differ in it.
    """
    frames = frame_samples(dataset[index])
    sizes = sorted({input_size(frame) for frame in frames})
    if len(sizes) > 1:
        uid = dataset.get_data_info(index).get('uid')
        raise UsageError(
            f'the frames of the clip {uid} differ in size after the pipeline '
            f'({", ".join(map(str, sizes))}, height and width), but those of '
            'an evaluation batch must have one. Let the pipeline resize to '
            'one size (Resize with keep_ratio=False)'
        )
    return sizes[0]


def input_size(sample: dict) -> tuple:
    """Height and width of a packed sample, of all views if there are."""
    inputs = sample['inputs']
    if isinstance(inputs, list | tuple):
        return tuple(tuple(view.shape[-2:]) for view in inputs)
    return tuple(inputs.shape[-2:])


def rehearse_validation(runner: Runner) -> None:
    """Predict and count one validation batch, without a trace.

    Args:
        runner (Runner): Runner of a training, its weights loaded. Errors of
            its validation are raised as they are.
    """
    model, loop = runner.model, runner.val_loop
    if loop is None or not is_main_process():
        return
    # Other wrappers may wait for the other ranks.
    if is_model_wrapper(model) and not isinstance(
        model, MMDistributedDataParallel
    ):
        return
    dataset = loop.dataloader.dataset
    number = getattr(loop.dataloader, 'batch_size', None) or 1
    samples = [dataset[i] for i in range(min(number, len(dataset)))]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), autocast(enabled=loop.fp16):
            batch = loop.dataloader.collate_fn(samples)
            outputs = model.val_step(batch)
        # Not the metrics themselves: they would count the frames.
        copy.deepcopy(loop.evaluator).process(
            data_samples=outputs, data_batch=batch
        )
    finally:
        model.train(was_training)
