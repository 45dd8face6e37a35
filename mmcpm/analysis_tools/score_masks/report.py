"""Report on stored masks: tables for the terminal and a JSON file."""

import json
import math
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.registry import init_default_scope
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from PIL import Image

import mmcpm.datasets  # noqa: F401
from mmcpm.utils.errors import UsageError
from mmcpm.utils.io import ensure_writable, write_whole

from .counting import FrameTask, count_frames
from .faults import Faults
from .prediction_files import Matches, match_files
from .protocols import (
    Sizes,
    Variant,
    build_variants,
    explain,
    padded_subsets,
)
from .scoring import score_classes, score_groups, wanted_sizes
from .stored_masks import detect_kind, read_values
from .table import tables

BINARY, IDS = 'LoadBinaryAnnotations', 'LoadAVSAnnotations'
COCO = 'LoadTranslatedAnnotations'
# Datasets by their name on the command line: type, step that loads a label,
# settings.
CHOICES = {
    's4': ('AVSBenchObjectDataset', BINARY, {'subset': 's4'}),
    'ms3': ('AVSBenchObjectDataset', BINARY, {'subset': 'ms3'}),
    'avss': ('AVSBenchSemanticDataset', IDS, {}),
    'vpo_ss': ('VPODataset', COCO, {'subset': 'ss'}),
    'vpo_ms': ('VPODataset', COCO, {'subset': 'ms'}),
    'vpo_msmi': ('VPODataset', COCO, {'subset': 'msmi'}),
    'scenes': ('SoundingScenesDataset', IDS, {}),
    'scenes_hard': ('HardSoundingScenesDataset', IDS, {}),
    'folder': ('AVSFolderDataset', IDS, {}),
}


def run(args: Namespace) -> str:
    """Score what tools/analysis_tools/score_masks.py was asked for.

    Args:
        args (Namespace): The parsed arguments.

    Returns:
        str: The tables. The JSON file is written, if one is wanted.

    Raises:
        UsageError: If the dataset or the predictions cannot be used.
    """
    if args.out is not None:
        ensure_writable(Path(args.out).absolute().parent, '--out')
    init_default_scope('mmseg')
    dataset = build_dataset(args.dataset, args.data_root, args.split)
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    indices = {info['sample_id']: i for i, info in enumerate(infos)}
    padded = all(padded_subsets(info.get('subset')) for info in infos)
    matches = match_files(
        args.predictions,
        list(indices),
        padded=padded,
        first_frame=args.first_frame,
    )
    refuse_strangers(matches, len(infos), args.missing, args.unknown)
    chosen: dict[str, Path | None] = {
        name: matches.files.get(name)
        for name in indices
        if name in matches.files or args.missing == 'background'
    }
    sizes = choose_sizes(matches.files, infos, args.resize)
    kind = args.kind
    if kind == 'auto':
        kind = find_kind(
            list(matches.files.values()), len(dataset.metainfo['classes'])
        )
    variants = build_variants(
        dataset.metainfo['classes'], list(chosen), sizes, padded
    )
    counted = count_frames(
        variants,
        dataset,
        [FrameTask(infos[indices[name]], chosen[name]) for name in chosen],
        kind,
        args.workers,
    )
    content = {
        'predictions': str(args.predictions),
        'dataset': args.dataset,
        'data_root': str(args.data_root),
        'split': args.split,
        'kind': kind,
        'layout': matches.layout.name,
        'first_frame': matches.layout.first,
        'frames_of_split': len(infos),
        'frames_scored': len(chosen),
        'missing': {'treatment': args.missing, 'frames': matches.missing},
        'unknown': matches.unknown,
        'padding_left_out': len(matches.padding),
        'protocols': {
            variant.metric.prefix: protocol_record(
                variant, counted.info, counted.resized
            )
            for variant in variants
        },
    }
    content['metrics'] = {
        f'{prefix}/{name}': score
        for prefix, protocol in content['protocols'].items()
        for name, score in protocol['groups']['all']['scores'].items()
    }
    if args.out is not None:
        write_whole(args.out, json.dumps(content, indent=1).encode())
    return tables(content, per_class=not args.no_classes)


def build_dataset(name: str, data_root: str, split: str) -> BaseSegDataset:
    """Build a dataset of which only the labels are read.

    Args:
        name (str): One of ``CHOICES``.
        data_root (str): Its folder.
        split (str): 'train', 'val' or 'test'.

    Returns:
        BaseSegDataset: Every labeled frame of the split.
    """
    kind, loading, settings = CHOICES[name]
    dataset = DATASETS.build(
        {
            'type': kind,
            'data_root': str(data_root),
            'split': split,
            'test_mode': True,
            'pipeline': [{'type': loading}],
            **settings,
        }
    )
    if not len(dataset):
        raise UsageError(f'the split {split!r} of {data_root} has no frames')
    return dataset


def refuse_strangers(
    matches: Matches, num_frames: int, missing: str, unknown: str
) -> None:
    """Refuse missing predictions and files of no frame, unless allowed.

    Args:
        matches (Matches): Files and frames.
        num_frames (int): Frames of the split.
        missing (str): 'refuse', 'skip' or 'background'.
        unknown (str): 'refuse' or 'ignore'.

    Raises:
        UsageError: Counts and names them.
    """
    faults = Faults()
    called = (
        f'(files are taken to be called {matches.layout.name}, frames '
        f'counted from {matches.layout.first})'
    )
    if missing == 'refuse':
        for name in matches.missing:
            faults.add(
                f'no file for a frame of the {num_frames} {called}; '
                '--missing background: nothing is segmented there; --missing '
                'skip: score the others only',
                name,
            )
    if unknown == 'refuse':
        for name in matches.unknown:
            faults.add(
                f'a file of no frame of the split {called}; --unknown '
                'ignore leaves it out',
                name,
            )
    faults.check()


def picture_size(path: Path) -> tuple[int, int]:
    """Read height and width of a PNG or NumPy file.

    Args:
        path (Path): The file.

    Returns:
        tuple[int, int]: Height and width.
    """
    if path.suffix == '.npy':
        shape = np.load(path, mmap_mode='r', allow_pickle=False).shape
        return tuple(shape[-2:])
    with Image.open(path) as image:
        return image.size[::-1]


def choose_sizes(
    files: Mapping[str, Path], infos: Sequence[dict], may_resize: bool
) -> list[Sizes]:
    """Choose the sizes to score at; refuse predictions of other sizes.

    Args:
        files (Mapping[str, Path]): Predictions by frame.
        infos (Sequence[dict]): What the dataset tells of all frames.
        may_resize (bool): Whether predictions may be resized.

    Returns:
        list[Sizes]: Sizes for the protocols.

    Raises:
        UsageError: If a file cannot be read, or is of another size than its
            label and the published one.
    """
    faults = Faults()
    sizes: dict[str, tuple] = {}
    for info in infos:
        path = files.get(info['sample_id'])
        if path is None:
            continue
        try:
            label = picture_size(Path(info['seg_map_path']))
        except (OSError, SyntaxError, ValueError) as error:
            faults.add(
                'a label file cannot be read',
                f'{info["seg_map_path"]}: {error}',
            )
            continue
        try:
            sizes[info['sample_id']] = (label, picture_size(path))
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            faults.add('a prediction cannot be read', f'{path}: {error}')
    faults.check()
    labels, masks = zip(*sizes.values(), strict=True)
    chosen = wanted_sizes(labels, masks, may_resize)
    if not chosen:
        for name, (label, mask) in sizes.items():
            if label != mask:
                faults.add(
                    'a prediction of another size than its label, and not '
                    'all are 224 x 224; --resize: classes are taken from the '
                    'nearest pixel, probabilities interpolated',
                    f'{files[name]} is {mask[0]} x {mask[1]}, its label '
                    f'{label[0]} x {label[1]} (height x width)',
                )
        faults.check()
    return chosen


def find_kind(files: Sequence[Path], num_classes: int) -> str:
    """Find out of which kind the files are, from the first that tells.

    Args:
        files (Sequence[Path]): Predictions.
        num_classes (int): Number of classes, background included.

    Returns:
        str: 'labels' where no file tells: zeros and ones.

    Raises:
        UsageError: If a file cannot be read.
    """
    for path in files:
        try:
            kind = detect_kind(read_values(path), num_classes)
        except (OSError, ValueError, SyntaxError, EOFError) as error:
            raise UsageError(
                f'the prediction {path} cannot be read: {error}'
            ) from error
        if kind:
            return kind
    return 'labels'


def protocol_record(
    variant: Variant, infos: dict[str, dict], resized: Mapping[str, int]
) -> dict[str, Any]:
    """Score a protocol and tell what it counted.

    Args:
        variant (Variant): Protocol that has counted the frames.
        infos (dict[str, dict]): What is known of each frame.
        resized (Mapping[str, int]): Resized predictions by protocol.

    Returns:
        dict[str, Any]: For the JSON file; scores that are not defined are
        None.
    """
    metric = variant.metric
    metric.num_frames = len(metric.results)
    sizes = {
        'all': len(infos),
        **group_sizes(infos),
    }
    classes = score_classes(variant)
    return {
        **metric.describe(),
        **explain(variant),
        'resized_predictions': resized[metric.prefix],
        'groups': {
            group: {
                'frames': sizes[group],
                'scores': {k: _number(v) for k, v in scores.items()},
            }
            for group, scores in score_groups(variant, infos).items()
        },
        'classes': {
            name: {key: _number(column[i]) for key, column in classes.items()}
            for i, name in enumerate(metric.classes)
            if classes
        },
    }


def group_sizes(infos: Mapping[str, dict]) -> dict[str, int]:
    """Count the frames of each subset, kind of source and category."""
    sizes: dict[str, int] = {}
    for info in infos.values():
        for key in ('subset', 'sources', 'category'):
            if key in info:
                sizes[info[key]] = sizes.get(info[key], 0) + 1
    return sizes


def _number(value: float) -> float | int | None:
    """Make a number that JSON knows."""
    value = value.item() if hasattr(value, 'item') else value
    return None if math.isnan(value) else value
