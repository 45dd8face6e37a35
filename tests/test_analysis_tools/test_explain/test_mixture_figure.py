import numpy as np
import pytest

from mmcpm.analysis_tools.explain.mixture_figure import (
    MixturePoints,
    draw_mixtures,
    fit_projection,
    project,
)

CLASSES = ['background', 'dog']
PALETTE = [[0, 0, 0], [255, 0, 0]]


def spread(center, size=9.0):
    """Four members around a center; they differ most along the third axis."""
    steps = [[0, 0, size], [0, 0, -size], [0.1, 0, 0], [-0.1, 0, 0]]
    return np.asarray(center) + np.asarray(steps)


@pytest.fixture
def bank():
    """Classes at (2, 0, 0), (-2, 0, 0) and (0, 1, 0)."""
    members = [spread([2, 0, 0]), spread([-2, 0, 0]), spread([0, 1, 0])]
    return np.concatenate(members), np.repeat([0, 1, 2], 4)


def test_axes_are_those_of_the_class_centers(bank):
    plane = fit_projection(*bank)
    assert plane.origin == pytest.approx([0, 1 / 3, 0])
    assert plane.axes == pytest.approx(np.eye(3)[:2], abs=1e-9)
    # Sums of squares: 4 + 4, and 1/9 + 1/9 + 4/9.
    assert plane.shares == pytest.approx([12 / 13, 1 / 13])
    points = np.array([[[1, 1, 9]], [[0, 0, 0]]])
    expected = np.array([[[1, 2 / 3]], [[0, -1 / 3]]])
    assert project(points, plane) == pytest.approx(expected)


def test_every_class_counts_the_same(bank):
    members, labels = bank
    many = np.concatenate([members, *[members[:4]] * 50])
    labels = np.concatenate([labels, np.zeros(200, int)])
    plane = fit_projection(many, labels)
    assert plane.origin == pytest.approx([0, 1 / 3, 0])


def test_two_classes_leave_the_second_axis_to_the_members():
    members = np.concatenate([spread([2, 0, 0]), spread([-2, 0, 0])])
    plane = fit_projection(members, np.repeat([0, 1], 4))
    assert plane.axes == pytest.approx(np.eye(3)[[0, 2]], abs=1e-9)
    assert plane.shares == pytest.approx([1, 0])


@pytest.mark.parametrize('second', [[0, 0, 1], [0, 0, -1]])
@pytest.mark.parametrize('labels', [[0, 0], [0, 1]])
def test_a_plane_is_found_however_little_there_is(labels, second):
    members = np.array([[0, 0, 1], second])
    plane = fit_projection(members, np.array(labels))
    assert plane.axes @ plane.axes.T == pytest.approx(np.eye(2))
    assert np.isfinite(plane.shares).all()


@pytest.fixture
def figure(bank):
    members, labels = bank
    points = MixturePoints(
        members,
        labels,
        means=np.array([[[2, 0, 0], [1, 1, 1]], [[0, 1, 0], [0, 2, 0]]]),
        weights=np.array([[0.9999, 0.0001], [0.25, 0.75]]),
        mean_labels=np.array([1, 2]),
        samples=np.array([[-2, 1, 5]]),
        sample_labels=np.array([1]),
    )
    return draw_mixtures(points, CLASSES, PALETTE)


def drawn(figure):
    (axes,) = figure.axes
    return {part.get_label(): part for part in axes.collections}


RED, GRAY = [1, 0, 0], [0.8, 0.8, 0.8]


def test_everything_is_where_it_belongs(figure):
    parts = drawn(figure)
    third = 1 / 3
    expected = {
        'prompts': [[-2, 1 - third]],
        'dead': [[1, 1 - third]],
        'means': [[2, -third], [0, 1 - third], [0, 2 - third]],
    }
    for name, places in expected.items():
        offsets = np.asarray(parts[name].get_offsets())
        assert offsets == pytest.approx(np.array(places)), name
    assert len(parts['members'].get_offsets()) == 12


def test_colors_are_the_classes(figure):
    parts = drawn(figure)
    members = parts['members'].get_facecolors()[:, :3]
    assert members[4:8].tolist() == [RED] * 4
    assert members[8:].tolist() == [GRAY] * 4
    assert parts['prompts'].get_facecolors()[0, :3].tolist() == RED
    means = parts['means'].get_facecolors()[:, :3].tolist()
    assert means == [RED, GRAY, GRAY]


def test_dead_components_are_hollow(figure):
    dead = drawn(figure)['dead']
    assert len(dead.get_facecolors()) == 0
    assert dead.get_edgecolors()[0, :3].tolist() == RED


def test_means_grow_with_their_weights(figure):
    most, least, middle = drawn(figure)['means'].get_sizes()
    assert least < middle < most
    # Half of 0.25 to 0.75 beyond the smallest size.
    assert middle - least == pytest.approx((most - least) * 0.5 / 0.7499)


def test_legend_names_the_classes(figure):
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names[-3:] == ['background', 'dog', 'no object']


def test_both_axes_have_one_scale(figure):
    (axes,) = figure.axes
    assert np.ptp(axes.get_xlim()) == pytest.approx(np.ptp(axes.get_ylim()))
    assert '92%' in axes.get_xlabel() and '8%' in axes.get_ylabel()
