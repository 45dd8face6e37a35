"""Pictures of a listening report."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from matplotlib.figure import Figure

from mmcpm.visualization.drawing import overlay_classes, spectrogram_strip

COLORS = ('tab:blue', 'tab:orange', 'tab:green', 'tab:purple')
MOST_CLASSES = 30
ALPHA = 0.6
PANEL = 224  # Width of a frame in a picture, in pixels.
STRIP = 40  # Height of a spectrogram.


class Panel(NamedTuple):
    """A frame as it is segmented with one sound.

    Attributes:
        title (str): The sound.
        labels (np.ndarray): Class of each pixel, integers, shape (H, W).
        audio (np.ndarray): What was heard, float32, shape (channels,
            samples).
        agreement (float | None): Agreement with the label, in [0, 1].
    """

    title: str
    labels: np.ndarray
    audio: np.ndarray
    agreement: float | None


class Row(NamedTuple):
    """A frame with several sounds.

    Attributes:
        title (str): Name of the clip, and how much its sound matters.
        image (np.ndarray): Frame, RGB, uint8, shape (H, W, 3).
        panels (list[Panel]): Label first, then predictions.
    """

    title: str
    image: np.ndarray
    panels: list[Panel]


def draw_scores(
    scores: Mapping[str, Mapping[str, dict]],
    rates: Mapping[str, dict],
    titles: Mapping[str, str],
    negatives: Sequence[str],
) -> Figure:
    """Draw every score with every sound, with its interval.

    Args:
        scores (Mapping[str, Mapping[str, dict]]): Intervals by name of the
            score, such as 'dataset/mIoU', and sound.
        rates (Mapping[str, dict]): Intervals of the rate of false positives
            by sound.
        titles (Mapping[str, str]): Words for each sound, in order.
        negatives (Sequence[str]): Sounds of nothing in view.

    Returns:
        Figure: The picture.
    """
    figure = Figure((11, 1.6 + 0.36 * len(titles)), layout='constrained')
    left, right = figure.subplots(
        1, 2, sharey=True, gridspec_kw={'width_ratios': [2, 1]}
    )
    names = list(titles)
    spread = 0.5 / max(len(scores), 1)
    for number, (name, by_sound) in enumerate(scores.items()):
        offset = spread * (number - (len(scores) - 1) / 2)
        _draw_points(left, names, by_sound, COLORS[number % 4], offset, name)
    _draw_points(right, names, rates, 'tab:red', 0, None)
    left.set_yticks(range(len(names)), [titles[name] for name in names])
    left.invert_yaxis()
    left.set_xlabel('score in per cent, 95 % interval over clips')
    right.set_xlabel('segmented share of the frame, per cent')
    for axes in (left, right):
        axes.grid(axis='x', alpha=0.3)
        axes.set_xlim(left=0)
        for place, name in enumerate(names):
            if name in negatives:
                axes.axhspan(
                    place - 0.5, place + 0.5, color='0.5', alpha=0.12, lw=0
                )
    figure.legend(loc='outside upper center', ncols=4, frameon=False)
    right.set_title('gray: nothing in view is heard', fontsize=9)
    return figure


def _draw_points(axes, names, by_sound, color, offset, label) -> None:
    """Draw the intervals of one score."""
    places, values, errors = [], [], []
    for place, name in enumerate(names):
        each = by_sound[name]
        if each['value'] is None:
            continue
        value = 100 * each['value']
        low, high = (
            value if each[side] is None else 100 * each[side]
            for side in ('low', 'high')
        )
        places.append(place + offset)
        values.append(value)
        errors.append((max(value - low, 0), max(high - value, 0)))
    axes.errorbar(
        values,
        places,
        xerr=np.array(errors).T if errors else None,
        fmt='o',
        ms=4,
        color=color,
        capsize=2,
        label=label,
    )


def draw_classes(
    scores: Mapping[str, Mapping[str, float | None]],
    titles: Mapping[str, str],
) -> Figure:
    """Draw the IoU of every class with every sound.

    Args:
        scores (Mapping[str, Mapping[str, float | None]]): IoU in [0, 1] by
            class and sound; classes to be shown, in order.
        titles (Mapping[str, str]): Words for each sound, in order.

    Returns:
        Figure: The picture, of the first thirty classes.
    """
    classes = list(scores)[:MOST_CLASSES]
    values = np.array(
        [
            [
                np.nan if scores[k][name] is None else 100 * scores[k][name]
                for name in titles
            ]
            for k in classes
        ],
        float,
    ).reshape(len(classes), len(titles))
    figure = Figure(
        (2.5 + 0.62 * len(titles), 2.2 + 0.3 * len(classes)),
        layout='constrained',
    )
    axes = figure.subplots()
    picture = axes.imshow(
        values, vmin=0, vmax=100, cmap='viridis', aspect='auto'
    )
    for row, column in np.argwhere(~np.isnan(values)):
        axes.text(
            column,
            row,
            f'{values[row, column]:.0f}',
            ha='center',
            va='center',
            fontsize=7,
            color='black' if values[row, column] > 60 else 'white',
        )
    axes.set_xticks(
        range(len(titles)), list(titles.values()), rotation=40, ha='right'
    )
    axes.set_yticks(range(len(classes)), classes)
    axes.set_title('IoU of the classes, in per cent', fontsize=10)
    figure.colorbar(picture, ax=axes, shrink=0.6)
    return figure


def draw_clips(
    rows: Sequence[Row],
    palette: Sequence[Sequence[int]],
    sample_rate: int,
    title: str,
) -> Figure:
    """Draw frames with their masks under several sounds.

    Args:
        rows (Sequence[Row]): One per clip.
        palette (Sequence[Sequence[int]]): RGB colors of the classes.
        sample_rate (int): Of the sounds, in Hz.
        title (str): Words above all.

    Returns:
        Figure: The picture; below each frame is the spectrogram of what was
        heard.
    """
    columns = max(len(row.panels) for row in rows)
    pictures = [
        [panel_picture(row.image, p, palette, sample_rate) for p in row.panels]
        for row in rows
    ]
    ratio = max(p.shape[0] for line in pictures for p in line) / PANEL
    figure = Figure(
        (1.9 * columns, (1.9 * ratio + 0.5) * len(rows) + 0.5),
        layout='constrained',
    )
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for row, line, places in zip(rows, pictures, grid, strict=True):
        for panel, picture, axes in zip(
            row.panels, line, places, strict=False
        ):
            axes.imshow(picture)
            score = (
                ''
                if panel.agreement is None
                else f': {100 * panel.agreement:.0f}'
            )
            axes.set_title(f'{panel.title}{score}', fontsize=7, pad=2)
        # On a line of its own: names of clips are longer than frames wide.
        places[0].set_title('')
        places[0].set_title(
            f'{row.title}\n{row.panels[0].title}',
            fontsize=7,
            pad=2,
            loc='left',
        )
    figure.suptitle(title, fontsize=10)
    return figure


def panel_picture(
    image: np.ndarray,
    panel: Panel,
    palette: Sequence[Sequence[int]],
    sample_rate: int,
) -> np.ndarray:
    """Paint a frame, and what was heard below it.

    Args:
        image (np.ndarray): Frame, RGB, uint8, shape (H, W, 3).
        panel (Panel): Classes and sound.
        palette (Sequence[Sequence[int]]): RGB colors of the classes.
        sample_rate (int): Of the sound, in Hz.

    Returns:
        np.ndarray: RGB, uint8, 224 pixels wide.
    """
    height, width = panel.labels.shape
    image = cv2.resize(image, (width, height))
    scale = PANEL / width
    size = (PANEL, max(round(scale * height), 1))
    painted = overlay_classes(
        cv2.resize(image, size),
        cv2.resize(
            panel.labels.astype(np.int32),
            size,
            interpolation=cv2.INTER_NEAREST,
        ),
        palette,
        ALPHA,
    )
    strip = spectrogram_strip(panel.audio[0], sample_rate, PANEL, STRIP)
    return np.concatenate([painted, strip])
