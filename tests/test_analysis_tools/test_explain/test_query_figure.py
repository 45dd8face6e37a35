import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from mmcpm.analysis_tools.explain.query_figure import (
    FrameQueries,
    draw_queries,
    query_strip,
)

CLASSES = ['background', 'dog', 'bell', 'cat']
PALETTE = [[0, 0, 0], [255, 0, 0], [0, 0, 255], [0, 255, 0]]
NO_OBJECT = 4
WHITE, RED, BLUE, GRAY = [1, 1, 1], [1, 0, 0], [0, 0, 1], [0.5, 0.5, 0.5]


def row(heard, named, title='clip/0: dog'):
    """A dark frame with a dog at the left; a bell is predicted there."""
    labels = np.zeros((40, 60), np.int64)
    labels[:, :30] = 1
    return FrameQueries(
        title,
        np.full((40, 60, 3), 100, np.uint8),
        labels,
        # At half the size.
        2 * labels[::2, ::2],
        np.array(heard),
        np.array(named),
    )


def strips(figure):
    return [
        axes.images[0].get_array()
        for axes in figure.axes
        if axes.get_title().startswith('class of each')
    ]


def pictures(figure, title):
    return [
        axes.images[0].get_array()
        for axes in figure.axes
        if axes.get_title() == title
    ]


def test_colors_of_the_strip():
    strip = query_strip(np.array([[1, 0, NO_OBJECT], [2, 1, 0]]), PALETTE)
    assert strip.tolist() == [[RED, GRAY, WHITE], [BLUE, RED, GRAY]]


def test_heard_is_above_the_end():
    figure = draw_queries([row([1, 4, 0], [[4, 2, 0]])], CLASSES, PALETTE)
    (strip,) = strips(figure)
    assert strip.tolist() == [[RED, WHITE, GRAY], [WHITE, BLUE, GRAY]]


def test_the_strip_reaches_the_canvas():
    figure = draw_queries([row([1, 4, 0], [[4, 2, 0]])], CLASSES, PALETTE)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    axes = figure.axes[2]
    for place, color in (((0, 0), RED), ((1, 1), BLUE), ((1, 0), WHITE)):
        # Off the center, where no line or tick lies.
        x, y = axes.transData.transform((place[0] + 0.2, place[1] + 0.1))
        found = pixels[-int(y), int(x)] / 255
        assert found.tolist() == color, place


def test_windows_are_rows_of_their_own():
    figure = draw_queries(
        [row([1, 4, 0], [[4, 2, 0], [1, 1, 1]])], CLASSES, PALETTE
    )
    (strip,) = strips(figure)
    assert strip.shape == (3, 3, 3)
    assert strip[2].tolist() == [RED] * 3


def test_truth_and_prediction_are_overlaid():
    figure = draw_queries([row([1], [[1]])], CLASSES, PALETTE)
    # 0.4 * 100 + 0.6 * 255 in the channel of the class.
    ((truth,), (guess,)) = (
        pictures(figure, name) for name in ('labeled', 'predicted')
    )
    assert truth[20, 15].tolist() == [193, 40, 40]
    assert guess[20, 15].tolist() == [40, 40, 193]
    assert truth[20, 45].tolist() == guess[20, 45].tolist() == [100] * 3


def test_rows_are_named():
    rows = [row([1], [[1]]), row([1], [[1]], 'clip/1: cat')]
    titles = [
        strip.get_suptitle()
        for strip in draw_queries(rows, CLASSES, PALETTE).subfigs
    ]
    assert titles == ['clip/0: dog', 'clip/1: cat']


def test_legend_names_what_occurs():
    """In labels, prediction and queries; "no object" is blank."""
    figure = draw_queries([row([4, 4], [[3, 4]])], CLASSES, PALETTE)
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ['background', 'dog', 'bell', 'cat']
    figure = draw_queries([row([4, 4], [[0, 4]])], CLASSES, PALETTE)
    assert len(figure.legends[0].get_texts()) == 3
