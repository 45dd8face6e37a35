"""The pictures of a listening report: what is in them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch.nn as nn
from matplotlib.figure import Figure

from mmcpm.datasets.dataset_wrappers import SAMPLE_RATE, sample_indices

from .figures import Panel, Row, draw_classes, draw_clips, draw_scores
from .inference import segment
from .passes import Pass
from .ranking import Ranked
from .variants import SHOWN, TRUE


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
    indices = sample_indices(true.dataset)
    rows, sample_rate = [], SAMPLE_RATE
    for each in clips:
        panels = []
        for one in shown:
            image, result = segment(
                model, one.dataset, indices[each.frame], each.frame
            )
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
