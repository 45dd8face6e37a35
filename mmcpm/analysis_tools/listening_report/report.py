"""Listening report: scores of a model with sounds that frames did not have."""

import io
import json
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch.nn as nn
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.utils import ProgressBar
from mmseg.registry import DATASETS

from mmcpm.analysis_tools.loading import load_model
from mmcpm.apis import options
from mmcpm.apis.config_checks import check_classes, check_numbers, require
from mmcpm.apis.train_and_test import read_config
from mmcpm.datasets.dataset_wrappers import SAMPLE_RATE
from mmcpm.utils.errors import UsageError
from mmcpm.utils.io import ensure_writable, write_whole

from . import statistics
from .figures import Panel, Row, draw_classes, draw_clips, draw_scores
from .inference import build_metrics, count, segment, with_sound
from .statistics import ClipSums, Ranked, interval
from .table import tables
from .variants import SHOWN, TRUE, Variant, build_variants

FILE = 'listening_report.json'


class Pass(NamedTuple):
    """What one pass over the frames gave.

    Attributes:
        variant (Variant): The sound.
        dataset (Any): Dataset with this sound.
        sums (dict[str, ClipSums]): Counts by protocol; 'dataset', or what
            stands for it, last.
        agreement (dict[str, float]): Of each frame, see
            :func:`.statistics.agreement`.
        labeled (dict[str, float]): Labeled share of each frame.
    """

    variant: Variant
    dataset: Any
    sums: dict[str, ClipSums]
    agreement: dict[str, float]
    labeled: dict[str, float]


def run(args: Namespace) -> str:
    """Report what tools/analysis_tools/listening_report.py was asked for.

    Args:
        args (Namespace): The parsed arguments.

    Returns:
        str: The tables. Files are in ``args.out``.

    Raises:
        UsageError: If the configuration, the checkpoint or the data cannot
            be used.
    """
    cfg = read_config(args.config)
    options.apply_cfg_options(cfg, args.cfg_options)
    require(cfg, ('model', 'test_dataloader', 'test_evaluator'))
    if args.data_root is not None:
        options.apply_data_root(cfg, args.data_root)
    check_numbers(cfg, ('test_dataloader',))
    check_classes(cfg, ('test_dataloader',))
    if args.resamples < 1 or args.clips < 0:
        raise UsageError(
            '--resamples must be at least 1 and --clips not negative, but '
            f'are {args.resamples} and {args.clips}'
        )
    ensure_writable(args.out, '--out')
    init_default_scope(cfg.get('default_scope') or 'mmseg')
    variants = build_variants(
        args.snr, args.shift, args.offscreen_folder, args.seed
    )
    if 0 in args.shift:
        raise UsageError('--shift 0 is the true sound: leave it out')
    model = load_model(cfg, args.checkpoint)
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    dataset.full_init()
    if not len(dataset):
        raise UsageError('the test split has no frames')
    usable, notes = prepare(dataset, variants)
    passes = run_passes(model, cfg, usable)
    content = {
        'config': args.config,
        'checkpoint': args.checkpoint,
        'cfg_options': args.cfg_options,
        'data_root': args.data_root,
        'seed': args.seed,
        'resamples': args.resamples,
        'notes': notes,
        **evaluate(passes, dataset.metainfo['classes'], args),
    }
    ranked = rank(passes)
    content['clips'] = [each._asdict() for each in ranked]
    folder = Path(args.out)
    figures = draw(
        content, passes, model, ranked, dataset.metainfo, args.clips
    )
    write_whole(folder / FILE, json.dumps(content, indent=1).encode())
    for name, figure in figures.items():
        picture = io.BytesIO()
        figure.savefig(picture, format='png', dpi=130)
        write_whole(folder / f'{name}.png', picture.getvalue())
    files = [FILE, *(f'{name}.png' for name in figures)]
    return '\n'.join([tables(content), *(str(folder / f) for f in files)])


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
                {m.prefix: statistics.sum_clips(m) for m in metrics},
                statistics.agreement(metrics[-1]),
                statistics.labeled_share(metrics[-1]),
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


def evaluate(
    passes: Sequence[Pass], classes: Sequence[str], args: Namespace
) -> dict[str, Any]:
    """Score every sound on the same draws of clips.

    Args:
        passes (Sequence[Pass]): Counts, of the true sound first.
        classes (Sequence[str]): Names of the classes.
        args (Namespace): ``resamples`` and ``seed``.

    Returns:
        dict[str, Any]: For the JSON file. ``scores`` by name of the score
        and sound, and ``differences`` to the true sound, as intervals;
        ``false_positive_rate`` by sound; ``robustness`` by protocol;
        ``classes`` by name.
    """
    true = passes[0]
    weights = statistics.draw_weights(
        len(next(iter(true.sums.values())).clips), args.resamples, args.seed
    )
    negatives = [p for p in passes if p.variant.negative]
    scores: dict[str, dict] = {}
    differences: dict[str, dict] = {}
    for each in passes:
        for prefix, sums in each.sums.items():
            found = statistics.score(sums, weights)
            reference = statistics.score(true.sums[prefix], weights)
            for key, values in found.items():
                name, sound = f'{prefix}/{key}', each.variant.name
                scores.setdefault(name, {})[sound] = interval(values)
                differences.setdefault(name, {})[sound] = interval(
                    values - reference[key]
                )
    last = list(true.sums)[-1]
    rates = {
        p.variant.name: statistics.false_positive_rate(p.sums[last], weights)
        for p in passes
    }
    robust: dict[str, Any] = {}
    if negatives:
        for prefix, sums in true.sums.items():
            found = statistics.robustness(
                sums, [p.sums[prefix] for p in negatives], weights
            )
            robust[prefix] = {k: interval(v) for k, v in found.items()}
        robust['G-FPR'] = interval(
            np.mean([rates[p.variant.name] for p in negatives], axis=0)
        )
    return {
        'frames': len(true.agreement),
        'clips_scored': len(weights[0]),
        'sounds': {
            p.variant.name: {
                'title': p.variant.title,
                'settings': p.variant.settings,
                'negative': p.variant.negative,
            }
            for p in passes
        },
        'scores': scores,
        'differences': differences,
        'false_positive_rate': {k: interval(v) for k, v in rates.items()},
        'robustness': robust,
        'class_protocol': last,
        'classes': evaluate_classes(passes, last, classes, weights),
    }


def evaluate_classes(
    passes: Sequence[Pass],
    prefix: str,
    classes: Sequence[str],
    weights: np.ndarray,
) -> dict[str, dict]:
    """Score every class with every sound.

    Args:
        passes (Sequence[Pass]): Counts, of the true sound first.
        prefix (str): Name of the protocol 'dataset'.
        classes (Sequence[str]): Names of the classes.
        weights (np.ndarray): Draws of clips.

    Returns:
        dict[str, dict]: Of each labeled class its ``clips``, ``IoU`` by
        sound, and ``drop``: how much lower it is without its sound, as
        intervals.
    """
    of_sound = {
        p.variant.name: statistics.class_scores(p.sums[prefix], weights)['IoU']
        for p in passes
    }
    negatives = [
        of_sound[p.variant.name] for p in passes if p.variant.negative
    ]
    drop = of_sound[TRUE] - np.mean(negatives, axis=0)
    labeled = (passes[0].sums[prefix].sums['labeled'] > 0).sum(0)
    return {
        name: {
            'clips': int(labeled[k]),
            'IoU': {s: interval(v[:, k]) for s, v in of_sound.items()},
            'drop': interval(drop[:, k]),
        }
        for k, name in enumerate(classes)
        if labeled[k]
    }


def rank(passes: Sequence[Pass]) -> list[Ranked]:
    """Order the clips by how much their sound matters.

    Args:
        passes (Sequence[Pass]): Counts, of the true sound first.

    Returns:
        list[Ranked]: Clips with something labeled.
    """
    return statistics.rank_clips(
        passes[0].agreement,
        [p.agreement for p in passes if p.variant.negative],
        passes[0].labeled,
    )


def draw(
    content: Mapping[str, Any],
    passes: Sequence[Pass],
    model: nn.Module,
    ranked: Sequence[Ranked],
    metainfo: dict,
    num_clips: int,
) -> dict[str, Figure]:
    """Draw the pictures of a report.

    Args:
        content (Mapping[str, Any]): Content of the JSON file.
        passes (Sequence[Pass]): Counts, of the true sound first.
        model (nn.Module): Model in evaluation mode.
        ranked (Sequence[Ranked]): Clips in order.
        metainfo (dict): ``classes`` and ``palette`` of the dataset.
        num_clips (int): Clips of each of the two pictures.

    Returns:
        dict[str, Figure]: By name of the file, without suffix.
    """
    titles = {k: v['title'] for k, v in content['sounds'].items()}
    negatives = [k for k, v in content['sounds'].items() if v['negative']]
    figures = {
        'scores': draw_scores(
            content['scores'],
            content['false_positive_rate'],
            titles,
            negatives,
        )
    }
    order = sorted(
        list(content['classes'])[1:],
        key=lambda name: -(content['classes'][name]['drop']['value'] or 0),
    )
    if order:
        figures['classes'] = draw_classes(
            {
                name: {
                    sound: each['value']
                    for sound, each in content['classes'][name]['IoU'].items()
                }
                for name in order
            },
            titles,
        )
    shown = [p for p in passes if p.variant.name in (TRUE, *SHOWN)]
    chosen = {
        'most': ranked[:num_clips],
        'least': ranked[::-1][:num_clips],
    }
    for name, clips in chosen.items():
        if not clips:
            continue
        rows, sample_rate = clip_rows(model, shown, clips)
        figures[name] = draw_clips(
            rows,
            metainfo['palette'],
            sample_rate,
            f'Clips in which the sound matters {name}: label and masks, what '
            'was heard, and agreement in per cent',
        )
    return figures


def clip_rows(
    model: nn.Module, shown: Sequence[Pass], clips: Sequence[Ranked]
) -> tuple[list[Row], int]:
    """Segment a frame of each clip again, with the sounds that are shown.

    Args:
        model (nn.Module): Model in evaluation mode.
        shown (Sequence[Pass]): Passes with these sounds.
        clips (Sequence[Ranked]): The clips.

    Returns:
        tuple[list[Row], int]: What to draw, and the sample rate in Hz.
    """
    true = shown[0]
    indices = {
        true.dataset.get_data_info(i)['sample_id']: i
        for i in range(len(true.dataset))
    }
    rows, sample_rate = [], SAMPLE_RATE
    for each in clips:
        panels = []
        for one in shown:
            image, result = segment(model, one.dataset, indices[each.frame])
            audio = result.audio.numpy()
            sample_rate = result.get('sample_rate', sample_rate)
            if one is true:
                label = result.gt_sem_seg.data[0].numpy()
                panels.append(Panel('label', label, audio, None))
            panels.append(
                Panel(
                    one.variant.title,
                    result.pred_sem_seg.data[0].numpy(),
                    audio,
                    one.agreement[each.frame],
                )
            )
        frame = image.permute(1, 2, 0).numpy()[..., ::-1]
        rows.append(
            Row(
                f'{each.frame} ({100 * each.difference:+.0f})',
                np.ascontiguousarray(frame),
                panels,
            )
        )
    return rows, sample_rate
