"""Datasets of a configuration, found within their wrappers."""

import copy
from collections.abc import Iterable, Iterator
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.dataset import ClassBalancedDataset
from mmseg.registry import DATASETS

from mmcpm.datasets import ClipDataset
from mmcpm.utils.config_types import is_type, type_name, type_of
from mmcpm.utils.errors import UsageError


def nested_datasets(
    settings: Any, path: str
) -> Iterator[tuple[str, ConfigDict]]:
    """List a dataset and all it wraps, from the outside to the inside.

    Yields:
        tuple[str, ConfigDict]: Where each stands, and its settings.
    """
    if isinstance(settings, dict):
        yield path, settings
        for name, inner in wrapped(settings):
            yield from nested_datasets(inner, f'{path}.{name}')


def wrapped(settings: dict) -> list[tuple[str, ConfigDict]]:
    """List the datasets that one takes its samples from.

    Returns:
        list[tuple[str, ConfigDict]]: Where each stands in the settings, such
        as ``'datasets.0'``; empty unless the dataset is a wrapper.
    """
    inner = settings.get('datasets')
    found = [('dataset', settings.get('dataset'))]
    if isinstance(inner, list | tuple):
        found += [(f'datasets.{i}', each) for i, each in enumerate(inner)]
    return [(name, each) for name, each in found if isinstance(each, dict)]


def without_clips(settings: ConfigDict) -> ConfigDict:
    """Take ClipDataset out of a dataset, for tools that show single frames.

    Args:
        settings (ConfigDict): A dataset, or wrappers around datasets.

    Returns:
        ConfigDict: The same, of frames.
    """
    if is_type(settings, ClipDataset, DATASETS):
        return settings['dataset']
    settings = copy.copy(settings)
    for name, inner in wrapped(settings):
        key, _, number = name.partition('.')
        if number:
            settings[key] = [*settings[key]]
            settings[key][int(number)] = without_clips(inner)
        else:
            settings[key] = without_clips(inner)
    return settings


def innermost_datasets(
    cfg: Config, dataloader: str
) -> list[tuple[str, ConfigDict]]:
    """List the datasets of a dataloader that read files.

    Returns:
        list[tuple[str, ConfigDict]]: Where each stands, such as
        ``'train_dataloader.dataset.datasets.0'``, and its settings.
    """
    outermost = (cfg.get(dataloader) or {}).get('dataset')
    return [
        (path, settings)
        for path, settings in nested_datasets(
            outermost, f'{dataloader}.dataset'
        )
        if not wrapped(settings)
    ]


def check_wrappers(
    cfg: Config, dataloaders: Iterable[str], with_tta: bool = False
) -> None:
    """Refuse wrappers that cannot work with what they wrap."""
    for name in dataloaders:
        outermost = (cfg.get(name) or {}).get('dataset')
        for path, settings in nested_datasets(outermost, f'{name}.dataset'):
            inner = wrapped(settings)
            if is_type(settings, ClassBalancedDataset, DATASETS) and inner:
                cls = type_of(inner[0][1], DATASETS)
                if cls is not None and not hasattr(cls, 'get_cat_ids'):
                    raise UsageError(
                        f'{path}: ClassBalancedDataset asks for the classes '
                        f'of each sample, which a {cls.__name__} does not '
                        'tell. Put a ClassBalancedDataset around each dataset '
                        f'inside the {cls.__name__}'
                    )
            if with_tta and inner and 'pipeline' in settings:
                raise UsageError(
                    f'--tta cannot replace {path}.pipeline: a '
                    f'{type_name(settings, DATASETS)} applies it to what the '
                    'datasets inside have packed. Test on these themselves'
                )
