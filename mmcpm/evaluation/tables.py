"""Tables of scores for the log, in per cent with two decimals."""

from collections.abc import Mapping, Sequence

import numpy as np
from prettytable import PrettyTable


def class_table(
    classes: Sequence[str],
    scores: Mapping[str, np.ndarray],
) -> PrettyTable:
    """Tabulate scores with one row per class.

    Args:
        classes (Sequence[str]): Names of the K classes.
        scores (Mapping[str, np.ndarray]): Columns by their heading, each of
            K scores in [0, 1] or NaN (printed as a dash), shape (K,).

    Returns:
        PrettyTable: The table.
    """
    table = PrettyTable()
    table.add_column('Class', list(classes), align='l')
    for heading, column in scores.items():
        table.add_column(heading, [percent(s) for s in column], align='r')
    return table


def group_table(scores: Mapping[str, Mapping[str, float]]) -> PrettyTable:
    """Tabulate scores with one row per group of frames.

    Args:
        scores (Mapping[str, Mapping[str, float]]): For each group, the same
            named scores in [0, 1] or NaN.

    Returns:
        PrettyTable: The table.
    """
    headings = next(iter(scores.values())).keys()
    table = PrettyTable(['Frames', *headings])
    table.align = 'r'
    table.align['Frames'] = 'l'
    for group, row in scores.items():
        table.add_row([group, *(percent(row[key]) for key in headings)])
    return table


def percent(score: float) -> str:
    """Write a score in [0, 1] in per cent; NaN becomes a dash."""
    return '-' if np.isnan(score) else f'{100 * score:.2f}'
