"""The confusion matrix of a frame, and tables of scores in per cent."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from prettytable import PrettyTable

# Label of the pixels that no class is known of.
IGNORE_INDEX = 255


def frame_confusion(
    prediction: np.ndarray | torch.Tensor,
    label: np.ndarray | torch.Tensor,
    num_classes: int,
    ignore_index: int | None = IGNORE_INDEX,
    sample_id: str = 'this frame',
) -> np.ndarray:
    """Count the pixels of one frame by labeled and predicted class.

    Args:
        prediction (np.ndarray | torch.Tensor): Predicted class of each pixel,
            any integer dtype, shape (H, W) or (1, H, W).
        label (np.ndarray | torch.Tensor): Labeled class of each pixel, any
            integer dtype, shape (H, W) or (1, H, W).
        num_classes (int): Number of classes K, background included.
        ignore_index (int, optional): Label of the pixels that are left out;
            None if every pixel counts.
        sample_id (str): Name of the frame, for error messages.

    Returns:
        np.ndarray: Pixel counts, int64, shape (K, K); rows are labels,
        columns are predictions.

    Raises:
        TypeError: If a map does not hold integers.
        ValueError: If the shapes differ, or if a pixel that is not ignored
            is labeled or predicted outside ``[0, num_classes)``.
    """
    prediction = _integer_map(prediction, 'prediction', sample_id)
    label = _integer_map(label, 'label', sample_id)
    if prediction.shape != label.shape:
        raise ValueError(
            f'{sample_id}: the prediction has shape {prediction.shape}, its '
            f'label {label.shape} (height, width). Predictions must be '
            'resized to the size of the label before they are scored.'
        )
    if ignore_index is None:
        ignored = 'no label is ignored'
    else:
        ignored = f'label {ignore_index} is ignored'
        kept = label != ignore_index
        prediction, label = prediction[kept], label[kept]
    for name, values in (('label', label), ('prediction', prediction)):
        wrong = values[(values < 0) | (values >= num_classes)]
        if wrong.size:
            raise ValueError(
                f'{sample_id}: the {name} holds the value {wrong[0]}, '
                f'expected 0 to {num_classes - 1} ({num_classes} classes; '
                f"{ignored}). Check that the head's num_classes and the "
                'label files belong to this dataset.'
            )
    # int64 before multiplying: uint8 maps would overflow.
    pairs = label.astype(np.int64) * num_classes + prediction.astype(np.int64)
    counts = np.bincount(pairs.ravel(), minlength=num_classes**2)
    return counts.astype(np.int64).reshape(num_classes, num_classes)


def _integer_map(
    values: np.ndarray | torch.Tensor, name: str, sample_id: str
) -> np.ndarray:
    """Bring a map of shape (H, W) or (1, H, W) to numpy, shape (H, W)."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    if not np.issubdtype(values.dtype, np.integer):
        raise TypeError(
            f'{sample_id}: the {name} must hold class indices '
            f'(integers), but its dtype is {values.dtype}.'
        )
    if values.ndim not in (2, 3) or values.ndim == 3 and len(values) != 1:
        raise ValueError(
            f'{sample_id}: the {name} must have shape (H, W) or '
            f'(1, H, W), got {values.shape}.'
        )
    return values.reshape(values.shape[-2:])


def class_table(
    classes: Sequence[str], scores: Mapping[str, np.ndarray]
) -> PrettyTable:
    """Tabulate scores with one row per class.

    Args:
        classes (Sequence[str]): Names of the K classes.
        scores (Mapping[str, np.ndarray]): Columns by their heading, each of
            K scores in [0, 1] or NaN (printed as a dash), shape (K,).
    """
    table = PrettyTable()
    table.add_column('Class', list(classes), align='l')
    for heading, column in scores.items():
        table.add_column(heading, [percent(s) for s in column], align='r')
    return table


def group_table(scores: Mapping[str, Mapping[str, float]]) -> PrettyTable:
    """Tabulate scores with one row per group of frames.

    Args:
        scores (Mapping[str, Mapping[str, float]]): Scores of each group, the
            same named scores in [0, 1] or NaN.
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
