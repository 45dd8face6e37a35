"""Label maps that tools/test.py --out saved, beside frames and labels."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mmcv.transforms import LoadAnnotations
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

from mmcpm.apis import options
from mmcpm.apis.config_checks import require
from mmcpm.apis.nested_settings import innermost_datasets
from mmcpm.apis.train_and_test import read_config
from mmcpm.datasets import BaseAVSDataset
from mmcpm.datasets.transforms.picture_files import read_picture
from mmcpm.utils.errors import UsageError, shorten
from mmcpm.utils.io import sample_file


class LabeledFrame(NamedTuple):
    """A frame of a dataset that is not read yet.

    Attributes:
        dataset (BaseAVSDataset): The dataset it belongs to.
        index (int): Its number there.
        sample_id (str): ``<clip>/<frame>``.
    """

    dataset: BaseAVSDataset
    index: int
    sample_id: str

    @property
    def clip(self) -> str:
        """str: Name of the frame's clip."""
        return self.sample_id.rpartition('/')[0]

    def read_label(self) -> np.ndarray:
        """Read the label map, classes as the dataset has them, ``[H, W]``.

        Raises:
            UsageError: If the pipeline loads no labels, or one is missing.
        """
        steps = self.dataset.pipeline.transforms
        for step in steps:
            if isinstance(step, LoadAnnotations):
                return step(self.dataset.get_data_info(self.index))[
                    'gt_seg_map'
                ]
        raise UsageError(
            f'the pipeline of {type(self.dataset).__name__} loads no labels: '
            'it needs LoadAVSAnnotations'
        )


def load_config(
    config: str, split: str, data_root: str | None, cfg_options: Sequence[str]
) -> Config:
    """Read a configuration of which only a dataset is needed.

    Args:
        config (str): Path of the configuration.
        split (str): 'train', 'val' or 'test': which dataloader.
        data_root (str, optional): Replaces the roots of all datasets.
        cfg_options (Sequence[str]): As for ``--cfg-options``.

    Raises:
        UsageError: If it cannot be read or has no such dataloader.
    """
    cfg = read_config(config, is_whole=False)
    options.apply_cfg_options(cfg, cfg_options)
    require(cfg, (f'{split}_dataloader',))
    if data_root is not None:
        options.apply_data_root(cfg, data_root)
    init_default_scope(cfg.get('default_scope') or 'mmseg')
    return cfg


def list_frames(cfg: Config, split: str) -> list[LabeledFrame]:
    """List the frames of a split, of all datasets that its wrappers join.

    Raises:
        UsageError: If there are none, or a dataset is of another package.
    """
    frames = []
    for path, settings in innermost_datasets(cfg, f'{split}_dataloader'):
        dataset = DATASETS.build(settings)
        if not isinstance(dataset, BaseAVSDataset):
            raise UsageError(
                f'{path} must be a dataset of mmcpm, but is '
                f'{type(dataset).__name__}'
            )
        frames += [
            LabeledFrame(dataset, index, sample_id)
            for index, sample_id in enumerate(dataset.sample_ids())
        ]
    if not frames:
        raise UsageError(f'the {split} split has no frames')
    return frames


def find_maps(
    folder: str | Path, frames: Sequence[LabeledFrame], partly: bool = False
) -> dict[str, Path]:
    """Find the label map of each frame in a folder.

    Args:
        folder (str | Path): Folder that ``tools/test.py --out`` wrote.
        frames (Sequence[LabeledFrame]): Frames to find.
        partly (bool): Whether some of them may be missing. Defaults to
            False.

    Returns:
        dict[str, Path]: File of each frame that has one, by ``sample_id``.

    Raises:
        UsageError: If all, or without ``partly`` some, are missing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        kind = 'it is a file' if folder.exists() else 'nothing is there'
        raise UsageError(
            f'no folder of label maps: {folder.absolute()} ({kind}). Make it '
            'with tools/test.py CONFIG CHECKPOINT --out DIR'
        )
    files = {
        frame.sample_id: sample_file(folder, frame.sample_id, '.png')
        for frame in frames
    }
    missing = [name for name, file in files.items() if not file.is_file()]
    if missing and not (partly and len(missing) < len(files)):
        hint = (
            '' if len(missing) == len(files) else '. --partly leaves them out'
        )
        raise UsageError(
            f'{folder.absolute()} has no label map of {len(missing)} of '
            f'{len(files)} frames: {shorten(missing)}. Expected files such '
            f'as {files[missing[0]]}{hint}'
        )
    return {name: file for name, file in files.items() if name not in missing}


def read_map(
    file: Path, shape: tuple[int, int], num_classes: int
) -> np.ndarray:
    """Read a label map.

    Args:
        file (Path): PNG file of class indices.
        shape (tuple[int, int]): Height and width that it has to have.
        num_classes (int): Number of classes; it may hold no others.

    Returns:
        np.ndarray: Class of each pixel, ``[H, W]``.

    Raises:
        UsageError: If it is no such map.
    """
    try:
        labels = read_picture(file)
    except (OSError, ValueError) as error:
        raise UsageError(f'{file} cannot be read: {error}') from error
    if labels.shape != tuple(shape):
        raise UsageError(
            f'{file}: expected a map of class indices of shape '
            f'{tuple(shape)}, as the label has, but it has shape '
            f'{labels.shape}. Use the maps that tools/test.py --out saves'
        )
    if labels.max(initial=0) >= num_classes:
        raise UsageError(
            f'{file} holds the value {labels.max()}, but the dataset has '
            f'{num_classes} classes (0 to {num_classes - 1}). The maps are of '
            'another dataset, or of another kind'
        )
    return labels


def classes_and_palette(
    frames: Sequence[LabeledFrame],
) -> tuple[Sequence[str], Sequence[Sequence[int]]]:
    """Tell the classes of frames and their colors.

    Raises:
        UsageError: If datasets that are joined differ.
    """
    metas = {
        tuple(frame.dataset.metainfo['classes']): frame.dataset.metainfo
        for frame in frames
    }
    if len(metas) > 1:
        raise UsageError('the datasets of the split have different classes')
    (meta,) = metas.values()
    return meta['classes'], meta['palette']


def by_clip(
    frames: Sequence[LabeledFrame],
) -> Iterator[tuple[str, list[LabeledFrame]]]:
    """Yield the name of each clip and its frames, in their order."""
    clips: dict[str, list[LabeledFrame]] = {}
    for frame in frames:
        clips.setdefault(frame.clip, []).append(frame)
    yield from clips.items()
