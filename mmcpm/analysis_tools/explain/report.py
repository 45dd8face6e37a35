"""Report on what a checkpoint has learned, in three pictures.

What is in them comes from :mod:`.collect`; they are drawn in
:mod:`mmcpm.visualization`.
"""

import io
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

from mmcpm.apis import init_model, options
from mmcpm.apis.config_checks import check_classes, require
from mmcpm.apis.nested_settings import without_clips
from mmcpm.apis.train_and_test import read_config
from mmcpm.models.decode_heads.av_mask2former_head import AVMask2FormerHead
from mmcpm.models.segmentors import AVEncoderDecoder
from mmcpm.utils.errors import UsageError
from mmcpm.utils.io import ensure_writable, write_whole

from .collect import collect_query_classes, mixture_points, separate_sources
from .mixture_figure import draw_mixtures
from .query_figure import draw_queries
from .sounding_frames import draw_frames, frames_by_name
from .spectrogram_figure import draw_spectrograms

PROMPTS_PER_CLASS = 20


class Explanation(NamedTuple):
    """What was drawn, and what was not."""

    pictures: list[Path]
    # Why pictures or frames of them were left out.
    notes: list[str]


def run(args: Namespace) -> Explanation:
    """Draw what tools/analysis_tools/explain.py was asked for.

    Returns:
        Explanation: The files, and notes on what was left out.

    Raises:
        UsageError: If the configuration, the checkpoint or the frames cannot
            be used.
    """
    cfg = read_config(args.config)
    options.apply_cfg_options(cfg, args.cfg_options)
    require(cfg, ('model', 'test_dataloader'))
    if args.data_root is not None:
        options.apply_data_root(cfg, args.data_root)
    check_classes(cfg, ('test_dataloader',))
    if args.num_frames < 1:
        raise UsageError(
            f'--num-frames must be at least 1, but is {args.num_frames}'
        )
    ensure_writable(args.out, '--out')
    init_default_scope(cfg.get('default_scope') or 'mmseg')
    model = init_model(cfg, args.checkpoint)
    check_head(model)
    dataset = DATASETS.build(without_clips(cfg.test_dataloader.dataset))
    if not len(dataset):
        raise UsageError('the test split has no frames')
    if args.frames:
        frames = frames_by_name(dataset, args.frames)
    else:
        frames = draw_frames(dataset, args.num_frames, args.seed)
    return explain(model, frames, dataset.metainfo, Path(args.out), args.seed)


def check_head(model: AVEncoderDecoder) -> None:
    """Refuse a model whose queries cannot be explained.

    Raises:
        UsageError: If it has no audio-first head.
    """
    if not isinstance(model.decode_head, AVMask2FormerHead):
        raise UsageError(
            'the model must have an audio-first head (AVMask2FormerHead, '
            f'CPMHead), but has {type(model.decode_head).__name__}'
        )


def explain(
    model: AVEncoderDecoder,
    frames: Sequence[dict],
    metainfo: dict,
    folder: Path,
    seed: int = 0,
) -> Explanation:
    """Draw spectrograms.png, mixtures.png and queries.png to a folder."""
    classes, palette = metainfo['classes'], metainfo['palette']
    head, frontend = model.decode_head, model.audio_frontend
    figures: dict[str, Figure] = {}
    notes = []

    recovered, left_out = separate_sources(model, frames, classes, seed)
    notes += [f'spectrograms.png: {note}' for note in left_out]
    if recovered:
        figures['spectrograms'] = draw_spectrograms(
            recovered,
            seconds_per_frame=frontend.hop_length / frontend.sample_rate,
            hertz_per_bin=frontend.sample_rate / frontend.n_fft,
        )
    mixtures = getattr(head, 'mixtures', None)
    if mixtures is None:
        notes.append(
            'mixtures.png: left out, the head has no mixtures (its '
            'classifier is linear)'
        )
    elif not mixtures.count.any():
        notes.append(
            'mixtures.png: left out, the memory bank of the checkpoint is '
            'empty'
        )
    else:
        prompts = getattr(head, 'prompts', None)
        noise = getattr(prompts, 'source', 'gmm') != 'mean'
        points = mixture_points(mixtures, PROMPTS_PER_CLASS, seed, noise)
        figures['mixtures'] = draw_mixtures(points, classes, palette)
    queries = collect_query_classes(model, frames, classes)
    figures['queries'] = draw_queries(queries, classes, palette)

    pictures = []
    for name, figure in figures.items():
        content = io.BytesIO()
        figure.savefig(content, format='png', dpi=130)
        pictures.append(Path(folder, f'{name}.png'))
        write_whole(pictures[-1], content.getvalue())
    return Explanation(pictures, notes)
