"""Passes over the test frames, one with each sound that they can have."""

import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch.nn as nn
from mmengine.config import Config
from mmengine.utils import ProgressBar

from mmcpm.utils.errors import UsageError

from .inference import build_metrics, count, with_sound
from .ranking import agreement, labeled_share
from .statistics import ClipSums, sum_clips
from .variants import Variant


class Pass(NamedTuple):
    """What one pass over the frames gave.

    Attributes:
        variant (Variant): The sound.
        dataset (Any): Dataset with this sound.
        sums (dict[str, ClipSums]): Counts by protocol; 'dataset', or what
            stands for it, last.
        agreement (dict[str, float]): Of each frame, see
            :func:`.ranking.agreement`.
        labeled (dict[str, float]): Labeled share of each frame.
    """

    variant: Variant
    dataset: Any
    sums: dict[str, ClipSums]
    agreement: dict[str, float]
    labeled: dict[str, float]


def prepare(
    dataset: Any, variants: Sequence[Variant]
) -> tuple[list[tuple[Variant, Any]], list[str]]:
    """Give the dataset every sound that it can have.

    Args:
        dataset (Dataset): Fully initialized dataset.
        variants (Sequence[Variant]): The sounds.

    Returns:
        tuple[list[tuple[Variant, Any]], list[str]]: Sounds with their
        datasets, and why others are left out.
    """
    usable, notes = [], []
    for variant in variants:
        try:
            usable.append((variant, with_sound(dataset, variant)))
        except UsageError:
            raise  # A file that cannot be read.
        except ValueError as error:
            notes.append(f'{variant.title}: left out. {error}')
    return usable, notes


def run_passes(
    model: nn.Module, cfg: Config, usable: Sequence[tuple[Variant, Any]]
) -> list[Pass]:
    """Let the model segment all frames, once with every sound.

    Args:
        model (nn.Module): Model in evaluation mode.
        cfg (Config): Configuration of dataloader and metrics.
        usable (Sequence[tuple[Variant, Any]]): Sounds with their datasets.

    Returns:
        list[Pass]: One per sound.
    """
    passes = []
    for variant, dataset in usable:
        metrics = build_metrics(cfg, dataset.metainfo)
        count(model, cfg, dataset, metrics, progress(variant, cfg, dataset))
        for metric in metrics:
            metric.check_names(sorted(f[0] for f in metric.results))
        passes.append(
            Pass(
                variant,
                dataset,
                {m.prefix: sum_clips(m) for m in metrics},
                agreement(metrics[-1]),
                labeled_share(metrics[-1]),
            )
        )
    return passes


def progress(
    variant: Variant, cfg: Config, dataset: Any
) -> Callable[[], None]:
    """Tell which sound is on, and on a terminal how far it is.

    Args:
        variant (Variant): The sound.
        cfg (Config): Configuration with ``test_dataloader``.
        dataset (Dataset): Dataset with this sound.

    Returns:
        Callable[[], None]: To be called after every batch.
    """
    print(f'{variant.title} ...', file=sys.stderr, flush=True)
    if not sys.stderr.isatty():
        return lambda: None
    batch_size = cfg.test_dataloader.get('batch_size') or 1
    return ProgressBar(-(-len(dataset) // batch_size), file=sys.stderr).update
