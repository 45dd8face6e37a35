"""When which class sounds, and how the page draws it."""

import base64
import re

import cv2
import numpy as np
import pytest

from mmcpm.apis.web_demo.time_line import (
    Span,
    axis_marks,
    class_spans,
    draw_spectrogram,
    time_line,
)

PALETTE = [(0, 0, 0), (255, 0, 0), (0, 0, 255)]


def frame(time, **scores):
    """A prediction: scores of the classes 'one' and 'two'."""
    numbers = {'one': 1, 'two': 2}
    return {
        'time': time,
        'classes': [
            {'id': numbers[name], 'name': name, 'score': score}
            for name, score in scores.items()
        ],
    }


def test_a_prediction_holds_until_the_next():
    frames = [
        frame(0.0, one=0.5),
        frame(1.0, one=1.0, two=0.4),
        frame(3.0, two=0.4),
        frame(3.5),
        frame(4.0, one=0.2),
    ]
    spans = class_spans(frames, 6.0)
    # One second of 0.5 and two of 1.0.
    assert spans == [
        Span(1, 'one', 0.0, 3.0, pytest.approx(2.5 / 3)),
        Span(1, 'one', 4.0, 6.0, pytest.approx(0.2)),
        Span(2, 'two', 1.0, 3.5, pytest.approx(0.4)),
    ]


def test_nothing_sounds_in_silence():
    assert class_spans([frame(0.0), frame(1.0)], 2.0) == []
    assert class_spans([], 2.0) == []


@pytest.mark.parametrize(
    ('seconds', 'marks'),
    [
        (1.2, [0, 0.5, 1.0]),
        (5.0, [0, 1, 2, 3, 4, 5]),
        (10.0, [0, 2, 4, 6, 8, 10]),
        (28.0, [0, 5, 10, 15, 20, 25]),
        (100.0, [0, 30, 60, 90]),
    ],
)
def test_an_axis_has_round_numbers(seconds, marks):
    assert axis_marks(seconds) == marks


def test_bars_lie_where_the_class_sounds():
    spans = [Span(2, 'two', 1.0, 3.0, 0.5), Span(2, 'two', 3.5, 4.0, 0.5)]
    text = time_line(spans, 4.0, PALETTE, 'data:x', 'player')
    found = re.findall(r'<i style="left:([\d.]+)%;width:([\d.]+)%', text)
    assert found == [('25.00', '50.00'), ('87.50', '12.50')]
    assert text.count('background:rgb(0,0,255)') == 2
    assert 'two<small>2.5 s</small>' in text
    assert 'data-video="player" data-seconds="4.000"' in text


def test_names_of_classes_are_text():
    spans = [Span(1, '<script>x</script>', 0.0, 1.0, 0.5)]
    text = time_line(spans, 1.0, PALETTE, 'data:x', 'player')
    assert '<script' not in text
    assert '&lt;script&gt;' in text


def test_silence_is_said():
    assert 'nothing that sounds' in time_line([], 1.0, PALETTE, 'x', 'player')


def test_a_spectrogram_shows_when_it_sounds(beeps):
    address = draw_spectrogram(beeps(4, [1]), 16000)
    head, _, data = address.partition(',')
    assert head == 'data:image/png;base64'
    picture = cv2.imdecode(
        np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_GRAYSCALE
    )
    quarters = picture.reshape(len(picture), 4, -1).max((0, 2))
    assert quarters.argmax() == 1
    assert quarters[1] > 200 > quarters[3]
    # 440 Hz of 8000 Hz, from below.
    column = picture[:, picture.shape[1] * 3 // 8]
    assert 1 - column.argmax() / len(column) == pytest.approx(0.055, abs=0.03)
