"""Colours and names of the classes in figures: the dataset's, and greys."""

from collections.abc import Sequence

import numpy as np
from matplotlib.patches import Patch

# Background and "no object" have no colour of their own in the palettes.
BACKGROUND = (0.5, 0.5, 0.5)
NO_OBJECT = (0.8, 0.8, 0.8)


def class_colours(palette: Sequence[Sequence[int]]) -> np.ndarray:
    """Colour the classes as figures show them.

    Args:
        palette (Sequence[Sequence[int]]): RGB colours of the dataset's C
            classes, 0 to 255, background first.

    Returns:
        np.ndarray: RGB in 0..1, ``[C + 1, 3]``: background and, last, "no
        object" are grey.
    """
    colours = np.asarray([*palette, (0, 0, 0)], float) / 255
    colours[0], colours[-1] = BACKGROUND, NO_OBJECT
    return colours


def class_patches(
    shown: Sequence[int],
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
) -> list[Patch]:
    """Make the entries of a legend.

    Args:
        shown (Sequence[int]): Class ids, C for "no object".
        classes (Sequence[str]): Names of the dataset's C classes.
        palette (Sequence[Sequence[int]]): Their RGB colours, 0 to 255.

    Returns:
        list[Patch]: One per class id, with its colour and name.
    """
    colours = class_colours(palette)
    names = [*classes, 'no object']
    return [
        Patch(facecolor=colours[k], edgecolor='black', label=names[k])
        for k in shown
    ]
