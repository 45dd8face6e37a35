"""Contact sheets of what a model gets of a dataset.

Samples go through the pipeline of the configuration and the data preprocessor
of its model: flips, crops, padding and ignored pixels are drawn as they are.
"""

import textwrap
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.runner import set_random_seed
from mmseg.registry import DATASETS, MODELS
from mmseg.structures import SegDataSample
from tqdm import tqdm

from mmcpm.datasets.clip_dataset import frame_samples
from mmcpm.utils.errors import UsageError
from mmcpm.utils.io import ensure_writable
from mmcpm.visualization.drawing import overlay_classes

from .clip_sheet import (
    SheetColumn,
    choose_clips,
    draw_sheet,
    save_sheet,
    shown_classes,
)
from .stored_label_maps import load_config

OPACITY = 0.6
# Letters in a line above a picture.
LINE = 26


def build_preprocessor(cfg: Config) -> nn.Module | None:
    """Build the data preprocessor of a model; None if there is no model."""
    settings = (cfg.get('model') or {}).get('data_preprocessor')
    return None if settings is None else MODELS.build(settings)


def preprocess(
    sample: dict, preprocessor: nn.Module | None, training: bool
) -> tuple[np.ndarray, SegDataSample]:
    """Prepare a sample as the model gets it, and bring colors back.

    Args:
        sample (dict): ``inputs`` (uint8, BGR, ``[3, H, W]``) and
            ``data_samples``.
        preprocessor (nn.Module, optional): Pads and normalizes.
        training (bool): Whether it does so for training.

    Returns:
        tuple[np.ndarray, SegDataSample]: Frame, RGB, uint8, ``[H, W, 3]``;
        the sample, its label of the same size.
    """
    image, data_sample = sample['inputs'].float(), sample['data_samples']
    is_rgb = False
    if preprocessor is not None:
        batch = {'inputs': [sample['inputs']], 'data_samples': [data_sample]}
        batch = preprocessor(batch, training)
        image, data_sample = batch['inputs'][0], batch['data_samples'][0]
        # As mmseg's SegDataPreProcessor, and those derived from it, say.
        is_rgb = getattr(preprocessor, 'channel_conversion', False)
        if getattr(preprocessor, '_enable_normalize', False):
            image = image * preprocessor.std + preprocessor.mean
    if not is_rgb:
        image = image.flip(0)
    picture = image.round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(picture.permute(1, 2, 0)), data_sample


def heading(data_sample: SegDataSample, classes: Sequence[str]) -> str:
    """Tell which frame a column shows, and what was done to it."""
    height, width = data_sample.img_shape[:2]
    words = [f'{height} x {width} px']
    if data_sample.get('flip'):
        words.append(f'flipped ({data_sample.get("flip_direction")})')
    if not data_sample.get('frame_valid', True):
        words.append('fills up the clip')
    elif not data_sample.get('labeled', True):
        words.append('no label')
    lines = [
        f'frame {data_sample.sample_id.rpartition("/")[2]}',
        ', '.join(words),
    ]
    labels = data_sample.get('audio_labels')
    if labels is not None:
        names = ', '.join(classes[label] for label in labels) or 'nothing'
        lines += textwrap.wrap(f'sounding: {names}', LINE)
    return '\n'.join(lines)


def sheet_column(
    sample: dict,
    preprocessor: nn.Module | None,
    training: bool,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
) -> SheetColumn:
    """Make the column of one sample."""
    picture, data_sample = preprocess(sample, preprocessor, training)
    pictures, captions, found = {'frame': picture}, {}, set()
    if 'gt_sem_seg' in data_sample:
        labels = data_sample.gt_sem_seg.data[0].cpu().numpy()
        if labels.shape != picture.shape[:2]:
            captions['label'] = 'size of the label: {} x {} px'.format(
                *labels.shape
            )
            pictures['label'] = overlay_classes(
                np.full((*labels.shape, 3), 90, np.uint8),
                labels,
                palette,
                OPACITY,
            )
        else:
            pictures['label'] = overlay_classes(
                picture, labels, palette, OPACITY
            )
        found = shown_classes(labels)
        ignored = float((labels == 255).mean())
        if ignored:
            captions['label'] = f'hatched: {100 * ignored:.0f} % ignored'
    return SheetColumn(
        heading(data_sample, classes),
        pictures,
        captions,
        data_sample.get('audio'),
        data_sample.get('sample_rate', 16000),
        found,
    )


def run(args: Namespace) -> list[Path]:
    """Draw what tools/analysis_tools/browse_dataset.py was asked for.

    Returns:
        list[Path]: The sheets.

    Raises:
        UsageError: If configuration, data or options cannot be used.
    """
    for name in ('views', 'max_frames'):
        if getattr(args, name) < 1:
            option = '--' + name.replace('_', '-')
            raise UsageError(
                f'{option} must be at least 1, but is {getattr(args, name)}'
            )
    cfg = load_config(
        args.config, args.split, args.data_root, args.cfg_options
    )
    ensure_writable(args.out, '--out')
    set_random_seed(args.seed)
    dataset = DATASETS.build(cfg[f'{args.split}_dataloader'].dataset)
    if not len(dataset):
        raise UsageError(f'the {args.split} split has no frames')
    preprocessor = build_preprocessor(cfg)
    clips: dict[str, list[int]] = {}
    for index in range(len(dataset)):
        sample_id = dataset.get_data_info(index)['sample_id']
        clips.setdefault(sample_id.rpartition('/')[0], []).append(index)
    classes, palette = (dataset.metainfo[k] for k in ('classes', 'palette'))
    sheets = []
    for clip in tqdm(
        choose_clips(clips, args.clips, args.num), 'clips', disable=None
    ):
        indices = [i for i in clips[clip] for _ in range(args.views)]
        columns, number = [], 0
        while number < len(indices) and len(columns) < args.max_frames:
            # Of ClipDataset a sample is several frames.
            columns += [
                sheet_column(
                    frame,
                    preprocessor,
                    args.split == 'train',
                    classes,
                    palette,
                )
                for frame in frame_samples(dataset[indices[number]])
            ]
            number += 1
        title = f'{clip}, {args.split} split, as the model gets it'
        if number < len(indices):
            title += f' (the first {number} of {len(indices)} views)'
        figure = draw_sheet(title, columns, classes, palette)
        sheets.append(save_sheet(figure, args.out, clip))
    return sheets
