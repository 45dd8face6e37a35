"""Sheets that show what several models predict of the same clips."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mmcpm.datasets.transforms.picture_files import read_picture
from mmcpm.evaluation.functional import frame_confusion
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
from .stored_label_maps import (
    LabeledFrame,
    by_clip,
    classes_and_palette,
    find_maps,
    list_frames,
    load_config,
    read_map,
)

OPACITY = 0.6
# Lines of the sheet that are no model's.
TAKEN = ('frame', 'label')


def name_folders(arguments: Sequence[str]) -> dict[str, str]:
    """Read folders, each with the name of its model.

    Args:
        arguments (Sequence[str]): ``NAME=FOLDER``, or ``FOLDER``, which names
            the model too.

    Returns:
        dict[str, str]: Folders by name.

    Raises:
        UsageError: If two have one name, or a name is missing.
    """
    folders: dict[str, str] = {}
    for argument in arguments:
        name, equals, folder = argument.partition('=')
        if not equals:
            name, folder = Path(argument).resolve().name, argument
        if not name or not folder:
            raise UsageError(
                f'--predictions: expected NAME=FOLDER, but got {argument!r}'
            )
        if name in folders or name in TAKEN:
            raise UsageError(
                f'--predictions: the name {name!r} is taken. Give another '
                'with NAME=FOLDER'
            )
        folders[name] = folder
    return folders


def wrong_share(
    prediction: np.ndarray,
    label: np.ndarray,
    num_classes: int,
    ignore_index: int,
) -> float:
    """Tell which share of the pixels with a label has another prediction.

    Args:
        prediction (np.ndarray): Predicted classes, ``[H, W]``.
        label (np.ndarray): Labeled classes, ``[H, W]``.
        num_classes (int): Number of classes.
        ignore_index (int): Label of pixels that do not count.

    Returns:
        float: 0..1; NaN if no pixel counts.
    """
    counts = frame_confusion(prediction, label, num_classes, ignore_index)
    total = counts.sum()
    return float(1 - counts.trace() / total) if total else float('nan')


def sheet_column(
    frame: LabeledFrame,
    maps: Mapping[str, Path],
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
) -> SheetColumn:
    """Make the column of one frame: frame, label, every model, sound."""
    sample = frame.dataset[frame.index]['data_samples']
    picture = np.ascontiguousarray(
        read_picture(sample.img_path, 'color')[..., ::-1]
    )
    label = frame.read_label()
    if label.shape != picture.shape[:2]:
        raise UsageError(
            f'{frame.sample_id}: the frame has shape {picture.shape[:2]}, its '
            f'label {label.shape} (height, width)'
        )
    pictures = {
        'frame': picture,
        'label': overlay_classes(picture, label, palette, OPACITY),
    }
    captions, shown = {}, shown_classes(label)
    for name, file in maps.items():
        prediction = read_map(file, label.shape, len(classes))
        pictures[name] = overlay_classes(picture, prediction, palette, OPACITY)
        share = wrong_share(
            prediction, label, len(classes), frame.dataset.ignore_index
        )
        captions[name] = f'{100 * share:.1f} % of pixels wrong'
        shown |= shown_classes(prediction)
    return SheetColumn(
        f'frame {frame.sample_id.rpartition("/")[2]}',
        pictures,
        captions,
        sample.get('audio'),
        sample.get('sample_rate', 16000),
        shown,
    )


def run(args: Namespace) -> list[Path]:
    """Draw what tools/analysis_tools/compare_predictions.py was asked for.

    Returns:
        list[Path]: The sheets.

    Raises:
        UsageError: If configuration, folders or options cannot be used.
    """
    if args.max_frames < 1:
        raise UsageError(
            f'--max-frames must be at least 1, but is {args.max_frames}'
        )
    folders = name_folders(args.predictions)
    cfg = load_config(
        args.config, args.split, args.data_root, args.cfg_options
    )
    frames = list_frames(cfg, args.split)
    classes, palette = classes_and_palette(frames)
    clips = dict(by_clip(frames))
    chosen = choose_clips(clips, args.clips, args.num)
    shown = {clip: clips[clip][: args.max_frames] for clip in chosen}
    wanted = [frame for group in shown.values() for frame in group]
    maps = {
        name: find_maps(folder, wanted) for name, folder in folders.items()
    }
    ensure_writable(args.out, '--out')
    sheets = []
    for clip, group in tqdm(shown.items(), 'clips', disable=None):
        columns = [
            sheet_column(
                frame,
                {name: maps[name][frame.sample_id] for name in maps},
                classes,
                palette,
            )
            for frame in group
        ]
        title = f'{clip}, {args.split} split'
        if len(clips[clip]) > len(group):
            title += f' (the first {len(group)} of {len(clips[clip])} frames)'
        figure = draw_sheet(title, columns, classes, palette)
        sheets.append(save_sheet(figure, args.out, clip))
    return sheets
