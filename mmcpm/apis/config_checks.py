"""Checks of a configuration, before anything is built from it."""

import difflib
from collections.abc import Iterable, Iterator, Sequence

from mmengine.config import Config, ConfigDict
from mmengine.fileio import list_from_file
from mmseg.registry import DATASETS

from mmcpm.datasets import BaseAVSDataset
from mmcpm.utils.config_types import type_name, type_of
from mmcpm.utils.errors import UsageError

from .nested_settings import innermost_datasets

# num_classes of a head that has as many as the data.
AUTO = 'auto'


def require(cfg: Config, keys: Iterable[str]) -> None:
    """Refuse a configuration whose main parts are missing or no dicts."""
    missing = [key for key in keys if cfg.get(key) is None]
    if missing:
        raise UsageError(
            f'config {cfg.filename} does not set {", ".join(missing)}. Give '
            'a complete one, such as those in configs/cpm, not a _base_ file'
        )
    parts = {key: cfg[key] for key in keys if not key.endswith('evaluator')}
    for key in [key for key in parts if key.endswith('_dataloader')]:
        parts[f'{key}.dataset'] = dict(cfg[key]).get('dataset')
    for key, value in parts.items():
        if not isinstance(value, dict):
            raise UsageError(
                f'{key} must be a dict of settings, but is {value!r} (config '
                f'{cfg.filename}, with the --cfg-options)'
            )


def check_numbers(cfg: Config, dataloaders: Iterable[str]) -> None:
    """Refuse settings that are no numbers, or cannot be meant."""
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


def check_classes(cfg: Config, dataloaders: Iterable[str]) -> None:
    """Compare ``num_classes`` of heads with the classes of the datasets."""
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


def check_spelling(cfg: Config, key: str) -> None:
    """Refuse a new setting that looks like a misspelled one.

    mmengine adds every unknown setting, and many classes ignore the ones they
    do not know: the run would not be what was asked for.
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

    Returns:
        bool: Whether a part of at most three letters is what differs.
    """
    parts = first.split('_'), second.split('_')
    return len(parts[0]) == len(parts[1]) and any(
        one != other and max(len(one), len(other)) <= 3
        for one, other in zip(*parts, strict=True)
    )
