"""One pass of a model over the test frames with each sound."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from mmengine.runner.amp import autocast
from mmseg.registry import METRICS
from mmseg.structures import SegDataSample

from mmcpm.datasets import CounterfactualAudioDataset
from mmcpm.datasets.clip_dataset import frame_samples
from mmcpm.evaluation import (
    AVSBenchJFMetric,
    AVSSLegacyMetric,
    DatasetIoUFMetric,
)
from mmcpm.evaluation.metrics.frame_metric import FrameMetric

from .variants import Variant

PROTOCOLS = (AVSBenchJFMetric, AVSSLegacyMetric, DatasetIoUFMetric)


def build_metrics(cfg: Config, metainfo: dict) -> list[FrameMetric]:
    """Build the protocols of a configuration.

    Args:
        cfg (Config): Configuration with ``test_evaluator``.
        metainfo (dict): ``classes`` and others of the dataset.

    Returns:
        list[FrameMetric]: Those of ``test_evaluator`` that are protocols,
        and 'dataset' last, added if it is not there: rates of false positives
        come from it.
    """
    settings = cfg.test_evaluator
    settings = settings if isinstance(settings, Sequence) else [settings]
    metrics = [METRICS.build(each) for each in settings]
    metrics = [each for each in metrics if isinstance(each, PROTOCOLS)]
    # The last one is that of false positives.
    metrics.sort(key=lambda each: isinstance(each, DatasetIoUFMetric))
    if not metrics or not isinstance(metrics[-1], DatasetIoUFMetric):
        size = metrics[0].size if metrics else None
        metrics.append(DatasetIoUFMetric(size=size))
    for metric in metrics:
        metric.dataset_meta = metainfo
    return metrics


def with_sound(dataset: Any, variant: Variant) -> Any:
    """Give a dataset another sound, and see that it can have it.

    Args:
        dataset (Dataset): Fully initialized dataset.
        variant (Variant): The sound.

    Returns:
        Dataset: The same one for the true sound, else a wrapper around it.

    Raises:
        ValueError: If the dataset cannot have this sound; tells why.
    """
    if variant.settings is None:
        return dataset
    wrapper = CounterfactualAudioDataset(dataset, **variant.settings)
    wrapper.full_init()
    wrapper[0]
    return wrapper


@torch.no_grad()
def count(
    model: nn.Module,
    cfg: Config,
    dataset: Any,
    metrics: Sequence[FrameMetric],
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Segment all frames and count what the metrics count.

    Args:
        model (nn.Module): Model in evaluation mode.
        cfg (Config): Configuration with ``test_dataloader``.
        dataset (Dataset): Dataset, of any sound.
        metrics (Sequence[FrameMetric]): They keep the counts.
        progress (Callable): Called after every batch.
    """
    loader = Runner.build_dataloader(
        {**cfg.test_dataloader, 'dataset': dataset}, seed=0
    )
    half = bool((cfg.get('test_cfg') or {}).get('fp16'))
    for batch in loader:
        with autocast(enabled=half):
            outputs = model.test_step(batch)
        samples = [output.to_dict() for output in outputs]
        for metric in metrics:
            metric.process(batch, samples)
        progress()


@torch.no_grad()
def segment(
    model: nn.Module, dataset: Any, index: int, sample_id: str
) -> tuple[torch.Tensor, SegDataSample]:
    """Segment one frame.

    Args:
        model (nn.Module): Model in evaluation mode.
        dataset (Dataset): Dataset, of any sound.
        index (int): Index of the frame, or of its clip.
        sample_id (str): Name of the frame.

    Returns:
        tuple[Tensor, SegDataSample]: The frame, uint8 ``[3, H, W]``, and
        its sample with label, prediction and ``audio``.
    """
    frames = frame_samples(dataset[index])
    names = [each['data_samples'].sample_id for each in frames]
    number = names.index(sample_id)
    frame = frames[number]
    audio = frame['data_samples'].audio
    result = model.test_step(pseudo_collate(frames))[number].cpu()
    result.set_data({'audio': audio})
    return frame['inputs'], result
