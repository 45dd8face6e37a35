"""Label maps of a batch."""

from collections.abc import Sequence

import torch
from mmseg.structures import SegDataSample
from torch import Tensor

from ...structures.audio_labels import check_class_ids
from .point_sampling import classes_present


def read_label_maps(
    data_samples: Sequence[SegDataSample],
    num_classes: int,
    ignore_index: int = 255,
) -> tuple[Tensor, list[list[int]]]:
    """Collect the label maps of a batch; refuse classes out of range.

    Args:
        data_samples (Sequence[SegDataSample]): With ``gt_sem_seg``.
        num_classes (int): Classes of the head, background included.
        ignore_index (int): Label that is no class.

    Returns:
        tuple[Tensor, list[list[int]]]: Class ids ``[B, H, W]`` and the
        classes in each map, ascending.

    Raises:
        ValueError: Names the frame and the classes that the head lacks.
    """
    label_maps = torch.cat([each.gt_sem_seg.data for each in data_samples])
    classes = classes_present(label_maps, ignore_index)
    for present, sample in zip(classes, data_samples, strict=True):
        check_class_ids(present, num_classes, sample.metainfo)
    return label_maps, classes
