"""Contact sheet of a clip: pictures of its frames above their sounds."""

import io
import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmcpm.utils.errors import UsageError
from mmcpm.utils.io import sample_file, write_whole
from mmcpm.visualization.drawing import (
    IGNORED,
    class_patches,
    spectrogram_strip,
)

# Inches: of columns, of which few may be wider, of sheets, and of lines.
COLUMN_WIDTH, WIDEST_COLUMN = 2.1, 4.0
LEAST_WIDTH = 8.0
SOUND_HEIGHT = 1.0
LEGEND_WIDTH, LEGEND_HEIGHT = 1.7, 0.25
TITLE_LETTERS = 9  # Per inch.
# Of a spectrogram, pixels.
STRIP = (320, 128)
CHANNELS = {2: ('left', 'right')}


@dataclass
class SheetColumn:
    """What a sheet shows of one frame.

    Attributes:
        heading (str): Lines above the pictures.
        pictures (dict[str, np.ndarray]): RGB, uint8, ``[H, W, 3]`` each, by
            the name of their line in the sheet.
        captions (dict[str, str]): Text below pictures.
        audio (torch.Tensor, optional): Waveform, float, ``[channels,
            samples]``.
        sample_rate (int): Sample rate, Hz. Defaults to 16000.
        labels (set[int]): Classes that the pictures show, for the legend.
    """

    heading: str
    pictures: dict[str, np.ndarray]
    captions: dict[str, str] = field(default_factory=dict)
    audio: torch.Tensor | None = None
    sample_rate: int = 16000
    labels: set[int] = field(default_factory=set)


def shown_classes(labels: np.ndarray) -> set[int]:
    """List the classes of a label map that a legend explains."""
    return set(np.unique(labels).tolist()) - {0, IGNORED}


def draw_sheet(
    title: str,
    columns: Sequence[SheetColumn],
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
) -> Figure:
    """Draw frames side by side, with what belongs to each below it.

    Args:
        title (str): Title of the sheet.
        columns (Sequence[SheetColumn]): Frames, with the same names of
            pictures.
        classes (Sequence[str]): Names of the classes.
        palette (Sequence[Sequence[int]]): RGB colors of the classes.
    """
    names = list(dict.fromkeys(n for c in columns for n in c.pictures))
    has_sound = any(column.audio is not None for column in columns)
    ratio = max(
        picture.shape[0] / picture.shape[1]
        for column in columns
        for picture in column.pictures.values()
    )
    width = max(COLUMN_WIDTH * len(columns) + 1.0, LEAST_WIDTH)
    column_width = min((width - 1.0) / len(columns), WIDEST_COLUMN)
    heights = [column_width * ratio + 0.15] * len(names)
    heights += [SOUND_HEIGHT] * (2 * has_sound)
    labels = sorted(set().union(*(column.labels for column in columns)))
    legend_columns = max(1, min(len(labels), int(width / LEGEND_WIDTH)))
    legend_lines = math.ceil(len(labels) / legend_columns)
    lines = textwrap.wrap(title, int(TITLE_LETTERS * width))
    height = sum(heights) + 1.2 + 0.2 * len(lines)
    figure = Figure(
        (width, height + LEGEND_HEIGHT * legend_lines), layout='constrained'
    )
    figure.suptitle('\n'.join(lines))
    grid = figure.subplots(
        len(heights),
        len(columns),
        squeeze=False,
        gridspec_kw={'height_ratios': heights},
    )
    for number, column in enumerate(columns):
        axes = grid[:, number]
        axes[0].set_title(column.heading, fontsize='small')
        for name, panel in zip(names, axes, strict=False):
            _draw_picture(panel, column, name, is_first=number == 0)
        if has_sound:
            _draw_sound(axes[-2:], column, is_first=number == 0)
    # Waveforms of one scale: what is quiet looks so.
    if has_sound:
        peak = max(
            [0.05]
            + [
                float(column.audio.abs().max())
                for column in columns
                if column.audio is not None and column.audio.numel()
            ]
        )
        for panel in grid[-2]:
            panel.set_ylim(-1.05 * peak, 1.05 * peak)
    if labels:
        figure.legend(
            handles=class_patches(labels, classes, palette),
            loc='outside lower center',
            ncols=legend_columns,
        )
    return figure


def _draw_picture(
    axes: Axes, column: SheetColumn, name: str, is_first: bool
) -> None:
    """Draw one picture, without ticks; its name stands at the left."""
    axes.set_xticks([])
    axes.set_yticks([])
    if name in column.pictures:
        axes.imshow(column.pictures[name], interpolation='nearest')
    else:
        axes.axis('off')
    if is_first:
        axes.set_ylabel(name)
    if name in column.captions:
        axes.set_xlabel(column.captions[name], fontsize='small')


def _draw_sound(
    axes: Sequence[Axes], column: SheetColumn, is_first: bool
) -> None:
    """Draw waveform and spectrogram; of several channels, their mean."""
    wave, spectrogram = axes
    if column.audio is None:
        wave.axis('off')
        spectrogram.axis('off')
        return
    audio = column.audio.detach().float().cpu()
    seconds = audio.shape[-1] / column.sample_rate
    time = np.arange(audio.shape[-1]) / column.sample_rate
    names = CHANNELS.get(len(audio), [f'{n}' for n in range(len(audio))])
    for name, channel in zip(names, audio, strict=True):
        wave.plot(time, channel.numpy(), linewidth=0.4, alpha=0.6, label=name)
    strip = spectrogram_strip(audio.mean(0), column.sample_rate, *STRIP)
    spectrogram.imshow(
        strip,
        extent=(0, seconds, 0, column.sample_rate / 2000),
        aspect='auto',
    )
    spectrogram.set_xlabel('time (s)', fontsize='small')
    for panel in axes:
        panel.set_xlim(0, seconds)
        panel.tick_params(labelsize='small')
        if not is_first:
            panel.set_yticklabels([])
    wave.set_xticklabels([])
    if is_first:
        wave.set_ylabel('amplitude\n(full scale: 1)', fontsize='small')
        spectrogram.set_ylabel('frequency\n(kHz)', fontsize='small')
        if len(audio) > 1:
            wave.legend(fontsize='x-small', loc='upper right')
    if not audio.any():
        wave.set_title('silence', fontsize='small')


def save_sheet(figure: Figure, folder: str | Path, clip: str) -> Path:
    """Save the sheet of a clip as ``<folder>/<clip>.png``."""
    path = sample_file(folder, clip, '.png')
    content = io.BytesIO()
    figure.savefig(content, format='png', dpi=100)
    write_whole(path, content.getvalue())
    return path


def choose_clips(
    clips: Iterable[str], wanted: Sequence[str] | None, number: int
) -> list[str]:
    """Choose clips by name, or so many at even distances.

    Args:
        clips (Iterable[str]): Names of all clips.
        wanted (Sequence[str], optional): Names to choose.
        number (int): How many to choose without names.

    Returns:
        list[str]: Names, in the order of ``wanted`` or of ``clips``.

    Raises:
        UsageError: If a name is unknown or the number is not positive.
    """
    clips = list(dict.fromkeys(clips))
    if wanted:
        unknown = [name for name in wanted if name not in clips]
        if unknown:
            raise UsageError(
                f'--clips: the split has no clip {unknown[0]!r}. It has '
                f'{len(clips)}, such as {", ".join(clips[:3])}'
            )
        return list(dict.fromkeys(wanted))
    if number < 1:
        raise UsageError(f'--num must be at least 1, but is {number}')
    places = np.linspace(0, len(clips) - 1, min(number, len(clips)))
    return [clips[round(place)] for place in places]
