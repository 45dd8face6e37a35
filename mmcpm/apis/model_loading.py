"""A model ready for inference: from a config, or from its name."""

import contextlib
import difflib
import logging
import os.path as osp
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.fileio import load
from mmengine.infer import BaseInferencer
from mmengine.logging import print_log
from mmengine.registry import init_default_scope
from mmengine.runner.checkpoint import _load_checkpoint_to_model
from mmseg.registry import DATASETS, MODELS

from mmcpm.compat import revert_sync_bn
from mmcpm.datasets import BaseAVSDataset
from mmcpm.datasets.metadata.class_file import voc_palette
from mmcpm.models.segmentors import AVEncoderDecoder
from mmcpm.utils.checkpoints import check_weights_fit, read_checkpoint
from mmcpm.utils.config_types import type_of
from mmcpm.utils.errors import UsageError

from .config_checks import AUTO, datasets, fill_num_classes, heads, require
from .train_and_test import read_config

DATALOADERS = ('test_dataloader', 'val_dataloader', 'train_dataloader')
RANDOM_WEIGHTS = (
    'NO CHECKPOINT: the weights of the model are random, and so is every '
    'mask. Give the checkpoint that a training wrote, such as epoch_1.pth'
)


def init_model(
    config: str | Path | Config,
    checkpoint: str | Path | None = None,
    device: str | torch.device | None = None,
    cfg_options: dict | None = None,
) -> AVEncoderDecoder:
    """Build an audio-visual model and load its weights.

    Has the arguments of mmseg's function of that name.

    Args:
        config (str | Path | Config): Config file, config, or the name of a
            model, such as 'cpm_r50_avss'.
        checkpoint (str | Path, optional): File or address. Without it the
            weights are those of the model's name, or random, which is said.
        device (str | torch.device, optional): Defaults to the GPU if there
            is one.
        cfg_options (dict, optional): Settings to override, by dotted names.

    Returns:
        AVEncoderDecoder: Model in evaluation mode, with ``cfg`` and
        ``dataset_meta`` (``classes`` and ``palette``).

    Raises:
        UsageError: If config or checkpoint cannot be used, or if they do not
            fit each other.
    """
    cfg, published = resolve_config(config)
    if cfg_options:
        cfg.merge_from_dict(cfg_options)
    require(cfg, ('model', 'test_dataloader'))
    init_default_scope(cfg.get('default_scope') or 'mmseg')
    path = None if checkpoint is None else str(checkpoint)
    path = path or published
    weights = read_checkpoint(path) if path else None
    meta = find_dataset_meta(cfg, weights)
    for _, head in heads(cfg):
        if head.get('num_classes') == AUTO and meta.get('classes'):
            head['num_classes'] = len(meta['classes'])
    fill_num_classes(cfg, DATALOADERS)
    device = get_device() if device is None else device
    if torch.device(device).type != 'cuda':
        revert_sync_bn(cfg.model)
    cfg.model.pop('pretrained', None)
    model = MODELS.build(cfg.model)
    if not isinstance(model, AVEncoderDecoder):
        raise UsageError(
            f'config {cfg.filename} describes a {type(model).__name__}, which '
            'takes no sound; an AVEncoderDecoder is needed here. Use '
            'mmseg.apis.init_model and inference_model for the other'
        )
    if weights is None:
        print_log(RANDOM_WEIGHTS, logger='current', level=logging.WARNING)
    else:
        check_weights_fit(model, weights, path)
        _load_checkpoint_to_model(model, weights)
    model.dataset_meta = complete_meta(
        meta, model.decode_head.num_classes, path or cfg.filename
    )
    model.cfg = cfg
    return model.to(device).eval()


def resolve_config(config: str | Path | Config) -> tuple[Config, str | None]:
    """Find a config by its path or by the name of the model.

    Args:
        config (str | Path | Config): See :func:`init_model`.

    Returns:
        tuple[Config, str | None]: A copy that may be changed, and the
        address of published weights, if there are any.

    Raises:
        UsageError: If there is no such file or name.
    """
    if isinstance(config, Config):
        # copy.deepcopy keeps the file's name, which messages tell.
        return config.__deepcopy__({}), None
    if isinstance(config, dict | ConfigDict):
        return Config(config), None
    if not isinstance(config, str | Path):
        raise TypeError(
            'a config must be a path, the name of a model, or a Config, but '
            f'is a {type(config).__name__}'
        )
    config = str(config)
    if osp.isfile(config):
        return read_config(config, is_whole=False), None
    models = list_models()
    if config in models:
        path, weights = models[config]
        return read_config(str(path), is_whole=False), weights
    near = difflib.get_close_matches(config, models, 3, 0.5)
    hint = f' Did you mean {" or ".join(near)}?' if near else ''
    raise UsageError(
        f'{config!r} is neither a config file nor the name of a model.{hint} '
        f'There are {", ".join(models)}'
    )


def list_models() -> dict[str, tuple[Path, str | None]]:
    """List the models of the metafiles, of a checkout or installed.

    Returns:
        dict[str, tuple[Path, str | None]]: Config and address of the weights
        by name.
    """
    root = Path(BaseInferencer._get_repo_or_mim_dir('mmcpm'))
    models = {}
    for path in sorted(root.glob('configs/*/metafile.yml')):
        for model in load(str(path))['Models']:
            weights = model.get('Weights')
            if isinstance(weights, list):
                weights = weights[0]
            models[model['Name']] = (root / model['Config'], weights)
    return models


def find_dataset_meta(
    cfg: Config, checkpoint: Mapping[str, Any] | None
) -> dict[str, Sequence]:
    """Find classes and palette: of the checkpoint, else of the config.

    Args:
        cfg (Config): Config with dataloaders.
        checkpoint (Mapping, optional): A checkpoint.

    Returns:
        dict[str, Sequence]: ``classes`` and ``palette`` as far as known.
    """
    meta = dict((checkpoint or {}).get('meta') or {})
    found = dict(meta.get('dataset_meta') or {})
    if not found and 'CLASSES' in meta:
        found = {'classes': meta['CLASSES'], 'palette': meta.get('PALETTE')}
    if found.get('classes'):
        return {k: found.get(k) for k in ('classes', 'palette')}
    for _, dataset in datasets(cfg, DATALOADERS):
        cls = type_of(dataset, DATASETS)
        if cls is None:
            continue
        if issubclass(cls, BaseAVSDataset):
            # The class list of own data may lie elsewhere.
            with contextlib.suppress(UsageError):
                found = cls.read_metainfo(dataset)
        else:
            own = getattr(cls, 'METAINFO', {})
            found = {**own, **(dataset.get('metainfo') or {})}
        if found.get('classes'):
            return {k: found.get(k) for k in ('classes', 'palette')}
    return {}


def complete_meta(
    meta: Mapping[str, Sequence], num_classes: int, source: str
) -> dict[str, Sequence]:
    """Check the classes against the model, and add what is not known.

    Args:
        meta (Mapping[str, Sequence]): ``classes`` and ``palette``, or less.
        num_classes (int): Classes of the model, background included.
        source (str): Where they were found, for messages.

    Returns:
        dict[str, Sequence]: Both.

    Raises:
        UsageError: If their number is not that of the model.
    """
    classes = meta.get('classes')
    if not classes:
        print_log(
            f'{source} tells no class names: they are called class_1 to '
            f'class_{num_classes - 1}',
            logger='current',
            level=logging.WARNING,
        )
        classes = [
            'background',
            *(f'class_{k}' for k in range(1, num_classes)),
        ]
    if len(classes) != num_classes:
        raise UsageError(
            f'{source} names {len(classes)} classes, but the decode head has '
            f'num_classes={num_classes}. Use the configuration that the '
            'checkpoint was trained with'
        )
    palette = meta.get('palette')
    if palette is None or len(palette) != num_classes:
        palette = voc_palette(num_classes)
    return {
        'classes': tuple(classes),
        'palette': [tuple(map(int, color)) for color in palette],
    }
