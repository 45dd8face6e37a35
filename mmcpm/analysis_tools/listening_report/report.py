"""Listening report: scores of a model with sounds that frames did not have."""

import io
import json
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

from mmcpm.apis import init_model, options
from mmcpm.apis.config_checks import check_classes, check_numbers, require
from mmcpm.apis.train_and_test import read_config
from mmcpm.utils.errors import UsageError
from mmcpm.utils.io import ensure_writable, write_whole

from . import statistics
from .passes import Pass, prepare, run_passes
from .pictures import draw
from .ranking import Ranked, rank_clips
from .statistics import interval
from .table import tables
from .variants import TRUE, build_variants

FILE = 'listening_report.json'


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
    model = init_model(cfg, args.checkpoint)
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


def rank(passes: Sequence[Pass]) -> list[Ranked]:
    """Order the clips by how much their sound matters.

    Args:
        passes (Sequence[Pass]): Counts, of the true sound first.

    Returns:
        list[Ranked]: Clips with something labeled.
    """
    return rank_clips(
        passes[0].agreement,
        [p.agreement for p in passes if p.variant.negative],
        passes[0].labeled,
    )


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
