"""Figure of the class that each learned query stands for (CPM, Figure 3a)."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmcpm.visualization.drawing import (
    IGNORED,
    class_colors,
    class_patches,
    overlay_classes,
)

OPACITY = 0.6


class FrameQueries(NamedTuple):
    """A frame, its segmentation, and the classes of N learned queries."""

    title: str
    # RGB, uint8, [H, W, 3].
    frame: np.ndarray
    # Class ids of pixels, of any size.
    labels: np.ndarray
    prediction: np.ndarray
    # Class ids after the audio decoder, [N]; C for "no object".
    audio_query_classes: np.ndarray
    # The same at the end, [R, N]: once per window of the frame.
    query_classes: np.ndarray


def query_strip(
    classes: np.ndarray, palette: Sequence[Sequence[int]]
) -> np.ndarray:
    """Color queries by class.

    Args:
        classes (np.ndarray): Class ids ``[R, N]``, C for "no object".
        palette (Sequence[Sequence[int]]): RGB colors of the C classes.

    Returns:
        np.ndarray: RGB in 0..1, ``[R, N, 3]``: background is gray, "no
        object" white.
    """
    colors = class_colors(palette)
    colors[-1] = 1.0
    return colors[classes]


def draw_queries(
    rows: Sequence[FrameQueries],
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
) -> Figure:
    """Draw truth, prediction and queries, a frame per row."""
    height, width = rows[0].frame.shape[:2]
    # Inches; portraits are not to become slivers, nor panoramas the page.
    panel = 1.9 * float(np.clip(width / height, 0.7, 2.0))
    strip_width = 6.0
    shown = _shown_classes(rows, len(classes))
    columns = 8
    figure = Figure(
        (
            2 * panel + strip_width,
            0.5 + 2.4 * len(rows) + 0.25 * (1 + len(shown) // columns),
        ),
        layout='constrained',
    )
    strips = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for row, strip in zip(rows, strips, strict=True):
        strip.suptitle(row.title, fontsize='medium')
        truth, guess, queries = strip.subplots(
            1, 3, width_ratios=(panel, panel, strip_width)
        )
        for axes, name, labels in (
            (truth, 'labeled', row.labels),
            (guess, 'predicted', row.prediction),
        ):
            axes.imshow(_overlay(row.frame, labels, palette))
            axes.set_title(name, fontsize='small')
            axes.set_axis_off()
        _draw_strip(queries, row, palette)
    figure.legend(
        handles=class_patches(shown, classes, palette),
        loc='outside lower center',
        fontsize='small',
        ncols=columns,
    )
    return figure


def _draw_strip(
    axes: Axes, row: FrameQueries, palette: Sequence[Sequence[int]]
) -> None:
    """Draw the classes of the queries, after the audio decoder on top."""
    cells = np.concatenate([row.audio_query_classes[None], row.query_classes])
    num_rows, num_queries = cells.shape
    axes.imshow(
        query_strip(cells, palette), aspect='auto', interpolation='nearest'
    )
    thickness = 0.8 if num_queries <= 50 else 0.3
    for column in range(num_queries + 1):
        axes.axvline(column - 0.5, color='lightgray', linewidth=thickness)
    axes.axhline(0.5, color='black', linewidth=0.8)
    end = 'at the end' if num_rows == 2 else 'at the end,\nby window'
    axes.set_yticks([0, num_rows / 2], ['after the audio\ndecoder', end])
    axes.tick_params(labelsize='small')
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    axes.set_title(
        'class of each learned query (blank: no object)', fontsize='small'
    )


def _overlay(
    frame: np.ndarray, labels: np.ndarray, palette: Sequence[Sequence[int]]
) -> np.ndarray:
    """Paint classes over a frame, brought to its size, uint8 [H, W, 3]."""
    labels = cv2.resize(
        labels.astype(np.int32),
        frame.shape[1::-1],
        interpolation=cv2.INTER_NEAREST,
    )
    return overlay_classes(frame, labels, palette, OPACITY)


def _shown_classes(rows: Sequence[FrameQueries], no_object: int) -> list[int]:
    """Class ids that occur, "no object" apart, which is left blank."""
    found = {
        int(k)
        for row in rows
        for part in (
            row.labels,
            row.prediction,
            row.audio_query_classes,
            row.query_classes,
        )
        for k in np.unique(part)
    }
    return sorted(found - {no_object, IGNORED})
