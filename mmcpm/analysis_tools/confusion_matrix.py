"""Which class is taken for which: the confusion matrix of stored label maps.

Rows are labeled classes, columns predicted ones; a share is one of the pixels
of the row's class.
"""

import io
import json
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from mmcpm.evaluation.functional import frame_confusion
from mmcpm.utils.errors import UsageError
from mmcpm.utils.io import ensure_writable, write_whole

from .stored_label_maps import (
    classes_and_palette,
    find_maps,
    list_frames,
    load_config,
    read_map,
)

# Beyond so many classes, cells are too small for numbers.
MOST_WITH_NUMBERS = 24
# Confusions in the text.
NUM_WORST = 5


class Confusion(NamedTuple):
    """A confusion matrix.

    Attributes:
        counts (np.ndarray): Pixels, int64, ``[K, K]``, rows are labels.
        classes (list[str]): Names of the K classes.
        num_frames (int): Frames that were counted.
        num_missing (int): Frames of the split without a label map.
    """

    counts: np.ndarray
    classes: list[str]
    num_frames: int
    num_missing: int


def row_shares(counts: np.ndarray) -> np.ndarray:
    """Divide a confusion matrix by the pixels of each labeled class.

    Args:
        counts (np.ndarray): Pixels, ``[K, K]``, rows are labels.

    Returns:
        np.ndarray: Shares in 0..1, ``[K, K]``; NaN in rows without pixels.
    """
    totals = counts.sum(1, keepdims=True).astype(float)
    totals[totals == 0] = np.nan
    return counts / totals


def worst_confusions(confusion: Confusion) -> list[str]:
    """Name the largest shares beside the diagonal, in per cent."""
    shares = np.nan_to_num(row_shares(confusion.counts))
    np.fill_diagonal(shares, 0)
    order = np.argsort(shares, axis=None)[::-1][:NUM_WORST]
    pairs = [np.unravel_index(place, shares.shape) for place in order]
    return [
        f'{confusion.classes[row]} -> {confusion.classes[column]}: '
        f'{100 * shares[row, column]:.1f} %'
        for row, column in pairs
        if shares[row, column] > 0
    ]


def count_confusions(
    config: str,
    predictions: str,
    split: str = 'test',
    data_root: str | None = None,
    cfg_options: Sequence[str] = (),
    partly: bool = False,
) -> Confusion:
    """Compare label maps with the labels of a dataset.

    Args:
        config (str): Path of a configuration with the dataset.
        predictions (str): Folder that ``tools/test.py --out`` wrote.
        split (str): 'val' or 'test'. Defaults to 'test'.
        data_root (str, optional): Replaces the root of the dataset.
        cfg_options (Sequence[str]): As for ``--cfg-options``.
        partly (bool): Whether frames without a map are left out. Defaults to
            False: they are refused.

    Raises:
        UsageError: If configuration, folder or a map cannot be used.
    """
    cfg = load_config(config, split, data_root, cfg_options)
    frames = list_frames(cfg, split)
    classes, _ = classes_and_palette(frames)
    files = find_maps(predictions, frames, partly)
    counts = np.zeros((len(classes), len(classes)), np.int64)
    for frame in tqdm(frames, 'frames', disable=None):
        if frame.sample_id not in files:
            continue
        label = frame.read_label()
        prediction = read_map(
            files[frame.sample_id], label.shape[-2:], len(classes)
        )
        counts += frame_confusion(
            prediction,
            label,
            len(classes),
            frame.dataset.ignore_index,
            frame.sample_id,
        )
    return Confusion(
        counts, list(classes), len(files), len(frames) - len(files)
    )


def draw_confusion(confusion: Confusion, title: str) -> Figure:
    """Draw the shares of each labeled class, in per cent.

    Classes that no pixel is labeled as have a gray row.
    """
    shares = 100 * row_shares(confusion.counts)
    number = len(shares)
    with_numbers = number <= MOST_WITH_NUMBERS
    side = 0.5 * number if with_numbers else 0.2 * number
    figure = Figure((max(6, side + 3), max(5, side + 2)), layout='constrained')
    axes = figure.subplots()
    axes.set_facecolor('0.85')
    image = axes.imshow(shares, cmap='Blues', vmin=0, vmax=100)
    size = 'medium' if with_numbers else 'x-small'
    axes.set_xticks(
        range(number), confusion.classes, rotation=90, fontsize=size
    )
    axes.set_yticks(range(number), confusion.classes, fontsize=size)
    axes.set_xlabel('predicted class')
    empty = np.isnan(shares).any()
    axes.set_ylabel('labeled class' + (' (gray: no pixel)' if empty else ''))
    axes.set_title(title)
    bar = figure.colorbar(image, shrink=0.8)
    bar.set_label('share of the pixels of the labeled class, per cent')
    if with_numbers:
        for row, column in np.argwhere(np.isfinite(shares)):
            share = shares[row, column]
            axes.text(
                column,
                row,
                _cell(share),
                ha='center',
                va='center',
                fontsize='small',
                color='white' if share > 55 else 'black',
            )
    return figure


def _cell(share: float) -> str:
    """Write a share in per cent, 0 as nothing."""
    if share == 0:
        return ''
    return '<1' if share < 1 else f'{share:.0f}'


def run(args: Namespace) -> list[str]:
    """Write what tools/analysis_tools/confusion_matrix.py was asked for.

    Returns:
        list[str]: Lines to print.

    Raises:
        UsageError: If the input or the place of the output cannot be used.
    """
    out = Path(args.out)
    ensure_writable(out, '--out')
    confusion = count_confusions(
        args.config,
        args.predictions,
        args.split,
        args.data_root,
        args.cfg_options,
        args.partly,
    )
    if not confusion.counts.any():
        raise UsageError(
            f'every pixel of {confusion.num_frames} frames is ignored: there '
            'is nothing to count'
        )
    name = Path(args.predictions).resolve().name
    title = args.title or f'{name}: {confusion.num_frames} frames'
    shares = row_shares(confusion.counts)
    content = {
        'config': args.config,
        'predictions': args.predictions,
        'split': args.split,
        'frames': confusion.num_frames,
        'frames_left_out': confusion.num_missing,
        'classes': confusion.classes,
        'pixels': confusion.counts.tolist(),
        'shares': [
            [None if np.isnan(share) else round(share, 6) for share in row]
            for row in shares.tolist()
        ],
    }
    write_whole(
        out / 'confusion_matrix.json', json.dumps(content, indent=1).encode()
    )
    picture = io.BytesIO()
    draw_confusion(confusion, title).savefig(picture, format='png', dpi=110)
    write_whole(out / 'confusion_matrix.png', picture.getvalue())
    lines = [f'{confusion.num_frames} frames']
    if confusion.num_missing:
        lines[0] += f'; {confusion.num_missing} without a label map left out'
    lines += [f'largest: {text}' for text in worst_confusions(confusion)]
    return [*lines, *map(str, sorted(out.glob('confusion_matrix.*')))]
