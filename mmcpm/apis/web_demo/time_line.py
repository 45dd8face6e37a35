"""A time line in HTML: the spectrogram, and below it when a class sounds."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mmcpm.visualization.drawing import spectrogram_strip

STRIP = 640, 96
# Seconds between marks of the axis, and the most marks.
MARKS = (0.5, 1, 2, 5, 10, 30, 60, 300, 600)
MOST_MARKS = 7
# Marks behind this share of the axis would stick out of it.
LAST_SHARE = 0.96
NOTHING = 'The model finds nothing that sounds.'


@dataclass(frozen=True)
class Span:
    """Time during which a class sounds without a break.

    Attributes:
        class_id (int): Number of the class.
        name (str): Name of the class.
        start (float): Seconds.
        stop (float): Seconds.
        score (float): Mean score, 0 to 1.
    """

    class_id: int
    name: str
    start: float
    stop: float
    score: float


def class_spans(frames: Sequence[dict], seconds: float) -> list[Span]:
    """Join the predictions of a clip to spans.

    A prediction holds until the next.

    Args:
        frames (Sequence[dict]): Predictions with ``time`` and ``classes``
            (``id``, ``name``, ``score``), see FrameResult.to_dict.
        seconds (float): End of the clip.

    Returns:
        list[Span]: By class, then by time.
    """
    open_spans: dict[int, list] = {}
    spans = []

    def close(kind: int) -> None:
        name, start, stop, weighted = open_spans.pop(kind)
        spans.append(Span(kind, name, start, stop, weighted / (stop - start)))

    stops = [*(frame['time'] for frame in frames[1:]), seconds]
    for frame, stop in zip(frames, stops, strict=False):
        start = frame['time']
        if stop <= start:
            continue
        found = {one['id']: one for one in frame['classes']}
        for kind in [k for k in open_spans if k not in found]:
            close(kind)
        for kind, one in found.items():
            entry = open_spans.setdefault(kind, [one['name'], start, start, 0])
            entry[2] = stop
            entry[3] += one['score'] * (stop - start)
    for kind in list(open_spans):
        close(kind)
    return sorted(spans, key=lambda span: (span.class_id, span.start))


def classes_between(
    spans: Sequence[Span], start: float, stop: float
) -> list[int]:
    """List the classes that sound at some time of a window.

    Args:
        spans (Sequence[Span]): When classes sound.
        start (float): Seconds.
        stop (float): Seconds.

    Returns:
        list[int]: Class ids, ascending.
    """
    return sorted(
        {s.class_id for s in spans if s.start < stop and s.stop > start}
    )


def axis_marks(seconds: float) -> list[float]:
    """Choose the seconds that an axis names.

    Args:
        seconds (float): Length of the axis.

    Returns:
        list[float]: Multiples of a round number, from 0 on.
    """
    step = next(
        (mark for mark in MARKS if seconds / mark < MOST_MARKS), MARKS[-1]
    )
    return [k * step for k in range(int(seconds / step + 1e-9) + 1)]


def draw_spectrogram(sound: np.ndarray, sample_rate: int) -> str:
    """Draw the spectrogram of a sound as an address that holds the picture.

    Args:
        sound (np.ndarray): Samples, float32, shape (channels, samples).
        sample_rate (int): Hz.

    Returns:
        str: ``data:image/png;base64,...``.
    """
    picture = spectrogram_strip(sound.mean(0), sample_rate, *STRIP)
    _, encoded = cv2.imencode('.png', picture[..., ::-1])
    return 'data:image/png;base64,' + base64.b64encode(encoded).decode()


def time_line(
    spans: Sequence[Span],
    seconds: float,
    palette: Sequence[Sequence[int]],
    spectrogram: str,
    video: str,
) -> str:
    """Draw the time line of a clip.

    Args:
        spans (Sequence[Span]): When classes sound.
        seconds (float): Length of the clip.
        palette (Sequence[Sequence[int]]): RGB color of each class.
        spectrogram (str): Address of the picture, as wide as the clip is
            long.
        video (str): Id of the player that the line follows.

    Returns:
        str: HTML. Names are escaped.
    """
    rows = [_row('sound', f'<img alt="Spectrogram" src="{spectrogram}">')]
    for kind in sorted({span.class_id for span in spans}):
        own = [span for span in spans if span.class_id == kind]
        total = sum(span.stop - span.start for span in own)
        color = ','.join(str(int(value)) for value in palette[kind])
        bars = ''.join(
            f'<i style="left:{100 * span.start / seconds:.2f}%;'
            f'width:{100 * (span.stop - span.start) / seconds:.2f}%;'
            f'background:rgb({color})" title="{span.start:.1f} to '
            f'{span.stop:.1f} s, score {span.score:.2f}"></i>'
            for span in own
        )
        name = html.escape(own[0].name)
        rows.append(_row(f'{name}<small>{total:.1f} s</small>', bars))
    if not spans:
        rows.append(_row('nothing', f'<em>{NOTHING}</em>'))
    marks = axis_marks(seconds)
    axis = ''.join(
        _mark(mark, seconds, ' s' if mark == marks[-1] else '')
        for mark in marks
    )
    return (
        f'<div class="avs-line" data-video="{html.escape(video)}" '
        f'data-seconds="{seconds:.3f}">{"".join(rows)}'
        f'<div class="avs-axis"><b></b><div>{axis}</div></div></div>'
    )


def _mark(mark: float, seconds: float, unit: str) -> str:
    """A second of the axis; near its end it must not stick out."""
    end = ' class="avs-end"' if mark > LAST_SHARE * seconds else ''
    place = 100 * mark / seconds
    return f'<span{end} style="left:{place:.2f}%">{mark:g}{unit}</span>'


def _row(name: str, content: str) -> str:
    """A row: its name and its bars."""
    return f'<div class="avs-row"><b>{name}</b><div>{content}</div></div>'
