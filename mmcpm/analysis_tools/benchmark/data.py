"""Throughput of decoding and augmentation on one core."""

import copy
from argparse import Namespace
from collections.abc import Callable
from typing import Any

from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.datasets.transforms import RandomCrop
from mmseg.registry import DATASETS, TRANSFORMS

from mmcpm.apis.nested_settings import innermost_datasets
from mmcpm.datasets.clip_dataset import ClipDataset
from mmcpm.datasets.dataset_wrappers import source_of
from mmcpm.engine.hooks.epoch_seed_hook import seed_everything
from mmcpm.utils.config_types import is_type
from mmcpm.utils.errors import UsageError

from .parts import PartTimer
from .peers import stock_pipeline
from .steps import compare, interleave, time_statistics


def build_reader(
    cfg: Config, size: tuple[int, int], stock: bool
) -> tuple[Callable[[int], Any], Compose, int]:
    """Build what reads a sample of the training data."""
    loader = dict(cfg, train_dataloader=copy.deepcopy(cfg.train_dataloader))
    parts = innermost_datasets(loader, 'train_dataloader')
    pipelines = [part.get('pipeline') or [] for _, part in parts]
    if any(other != pipelines[0] for other in pipelines):
        raise UsageError(
            '--task data times one pipeline, but train_dataloader joins '
            f'datasets with different ones: {", ".join(p for p, _ in parts)}'
        )
    for _, part in parts:
        part.pipeline = []
    pipeline = pipelines[0]
    for transform in pipeline:
        if is_type(transform, RandomCrop, TRANSFORMS):
            transform['crop_size'] = size
    if stock:
        pipeline = stock_pipeline(pipeline)
    dataset = DATASETS.build(loader['train_dataloader'].dataset)
    compose = Compose(pipeline)

    def read(index: int) -> Any:
        seed_everything(index)
        source, inner = source_of(dataset, index % len(dataset))
        if isinstance(source, ClipDataset):
            return [compose(info) for info in source.frames_of(inner)]
        return compose(dataset.get_data_info(index % len(dataset)))

    return read, compose, len(dataset)


def measure_data(args: Namespace, cfg: Config, peer: Config | None) -> dict:
    """Time the reading of batches, and of the transforms.

    Returns:
        dict: Seconds per batch, samples per second, parts (transforms).
    """
    init_default_scope(cfg.get('default_scope') or 'mmseg')
    size = tuple(args.size)
    try:
        readers = [build_reader(cfg, size, False)]
        if args.vs is not None:
            readers.append(build_reader(peer or cfg, size, args.vs == 'stock'))
    except FileNotFoundError as error:
        raise UsageError(
            f'--task data reads the training data of {args.config}: {error}'
        ) from error
    turns = [0] * len(readers)

    def batch_of(position: int) -> Callable[[], None]:
        read, _, _ = readers[position]

        def batch() -> None:
            first = turns[position] * args.batch
            turns[position] += 1
            for index in range(first, first + args.batch):
                read(index)

        return batch

    functions = [batch_of(position) for position in range(len(readers))]
    seconds = interleave(functions, args.repeats, args.warmup)
    report = {'samples': readers[0][2], 'peak_mb': None, 'peer_peak_mb': None}
    for prefix, times, reader in zip(
        ('', 'peer_'), seconds, readers, strict=False
    ):
        report.update(time_statistics(times, prefix))
        per_second = args.batch / report[f'{prefix}median_s']
        report[f'{prefix}samples_per_second'] = per_second
        report[f'{prefix}parts'] = time_transforms(reader, args.batch)
    if len(readers) == 2:
        report.update(compare(*seconds))
    return report


def time_transforms(
    reader: tuple[Callable[[int], dict], Compose, int], batch: int
) -> dict[str, float]:
    """Seconds that each transform takes of a batch."""
    read, compose, _ = reader
    timer = PartTimer('cpu')
    plain = list(compose.transforms)
    compose.transforms[:] = [
        timer.wrap(transform.__call__, type(transform).__name__)
        for transform in plain
    ]
    repeats = 5
    for index in range(repeats * batch):
        read(index)
    compose.transforms[:] = plain
    return {name: value / repeats for name, value in timer.seconds.items()}
