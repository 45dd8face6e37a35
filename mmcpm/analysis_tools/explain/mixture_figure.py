"""The mixtures of the classifier, seen from where their classes differ."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mmcpm.visualization.drawing import class_colors, class_patches

# Components with a smaller share of their class's members are called dead.
DEAD_WEIGHT = 1e-3


class MixturePoints(NamedTuple):
    """Embeddings around the mixtures; class C is "no object"."""

    # Of the memory bank, [S, D], and their classes, [S].
    members: np.ndarray
    labels: np.ndarray
    # Of K classes with M components, [K, M, D] and [K, M].
    means: np.ndarray
    weights: np.ndarray
    # Their classes, [K].
    mean_labels: np.ndarray
    # Prompts drawn from the mixtures, [P, D], and their classes, [P].
    samples: np.ndarray
    sample_labels: np.ndarray


class Projection(NamedTuple):
    """A plane in the space of the embeddings."""

    # [D].
    origin: np.ndarray
    # Orthonormal, [2, D].
    axes: np.ndarray
    # Shares of the variance of the class centers, [2].
    shares: np.ndarray


def fit_projection(members: np.ndarray, labels: np.ndarray) -> Projection:
    """Find the plane in which the centers of the classes differ most.

    Its axes are the first two principal components of the class centers.
    Every class counts the same, however many members it has. Two classes
    differ along one axis only: the second is then the direction in which the
    members vary most beside it.

    Args:
        members (np.ndarray): ``[S, D]``, D > 1.
        labels (np.ndarray): Classes of the points, shape (S,).

    Returns:
        Projection: The plane. Each axis points to where its largest
        coordinate is positive.
    """
    members = members.astype(float)
    centers = np.stack(
        [members[labels == k].mean(0) for k in np.unique(labels)]
    )
    origin = centers.mean(0)
    _, scales, axes = np.linalg.svd(centers - origin, full_matrices=False)
    power = scales**2
    # Rounding leaves directions without extent.
    axes = axes[power > 1e-12 * max(power.sum(), 1e-12)][:2]
    if len(axes) < 2:
        rest = members - origin
        rest = rest - rest @ axes.T @ axes
        # Negative for the axes that there are, so that they come last.
        others = np.linalg.eigh(rest.T @ rest - axes.T @ axes)[1].T[::-1]
        axes = np.concatenate([axes, others])[:2]
    largest = np.abs(axes).argmax(1)
    axes = axes * np.where(axes[[0, 1], largest] < 0, -1.0, 1.0)[:, None]
    shares = np.zeros(2)
    kept = power[:2] / max(power.sum(), 1e-12)
    shares[: len(kept)] = kept
    return Projection(origin, axes, shares)


def project(points: np.ndarray, projection: Projection) -> np.ndarray:
    """Give the coordinates of points in a plane.

    Args:
        points (np.ndarray): ``[..., D]``.
        projection (Projection): Plane of the class centers, see
            :func:`fit_projection`.

    Returns:
        np.ndarray: ``[..., 2]``.
    """
    return (points - projection.origin) @ projection.axes.T


def draw_mixtures(
    points: MixturePoints,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
) -> Figure:
    """Draw members, means and sampled prompts of every class."""
    colors = class_colors(palette)
    plane = fit_projection(points.members, points.labels)
    shown = np.unique([*points.labels, *points.sample_labels])
    columns = 1 + len(shown) // 32
    figure = Figure((7.6 + 2.0 * columns, 7), layout='constrained')
    axes = figure.subplots()
    axes.scatter(
        *project(points.members, plane).T,
        s=9,
        c=colors[points.labels],
        alpha=0.6,
        linewidths=0,
        label='members',
    )
    axes.scatter(
        *project(points.samples, plane).T,
        s=36,
        marker='^',
        c=colors[points.sample_labels],
        edgecolors='white',
        linewidths=0.5,
        label='prompts',
    )
    dead = points.weights < DEAD_WEIGHT  # [K, M]
    owners = np.broadcast_to(points.mean_labels[:, None], dead.shape)
    means = project(points.means, plane)  # [K, M, 2]
    axes.scatter(
        *means[dead].T,
        s=40,
        marker='X',
        facecolors='none',
        edgecolors=colors[owners[dead]],
        label='dead',
    )
    axes.scatter(
        *means[~dead].T,
        s=40 + 120 * points.weights[~dead],
        marker='X',
        c=colors[owners[~dead]],
        edgecolors='black',
        label='means',
    )
    across, up = (
        f'principal component {number} of the class centers ({share:.0%} of '
        'their variance)'
        if share > 1e-6
        else f'principal component {number}, of the members'
        for number, share in enumerate(plane.shares, 1)
    )
    axes.set(
        title='Mixtures of the query embeddings', xlabel=across, ylabel=up
    )
    _make_square(axes)
    style = {'linestyle': 'none', 'color': 'dimgray'}
    figure.legend(
        handles=[
            Line2D([], [], marker='.', label='member of the bank', **style),
            Line2D(
                [],
                [],
                marker='X',
                markersize=11,
                markeredgecolor='black',
                label='mean, larger with its weight',
                **style,
            ),
            Line2D(
                [],
                [],
                marker='X',
                markersize=7,
                markerfacecolor='none',
                label='mean without members (dead)',
                **style,
            ),
            Line2D([], [], marker='^', label='sampled prompt', **style),
            *class_patches(shown, classes, palette),
        ],
        loc='outside right upper',
        fontsize='small',
        ncols=columns,
    )
    return figure


def _make_square(axes: Axes) -> None:
    """Give both axes one scale and one length, around what is drawn."""
    limits = np.array([axes.get_xlim(), axes.get_ylim()])  # [2, low/high]
    middle, half = limits.mean(1), np.ptp(limits, axis=1).max() / 2
    axes.set_xlim(middle[0] - half, middle[0] + half)
    axes.set_ylim(middle[1] - half, middle[1] + half)
    # Centered in its space, a box would push its labels off the page.
    axes.set_aspect('equal', 'box', anchor='SW')
