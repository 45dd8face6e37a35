"""Batches of clips."""

from collections.abc import Sequence
from typing import Any

from mmengine.dataset import pseudo_collate
from mmengine.registry import FUNCTIONS


@FUNCTIONS.register_module()
def clip_collate(batch: Sequence[list[dict]]) -> dict[str, Any]:
    """Join clips to a batch of frames, one clip after the other.

    Args:
        batch (Sequence[list[dict]]): B clips of ClipDataset, each a list of T
            packed frames.

    Returns:
        dict[str, Any]: ``inputs`` and ``data_samples``, lists of ``B * T``
        (of test-time augmentation, lists over views of such lists).

    Raises:
        TypeError: If the samples are no clips.
    """
    for clip in batch:
        if not isinstance(clip, list):
            raise TypeError(
                "collate_fn=dict(type='clip_collate') joins clips, but the "
                f'dataset gives {type(clip).__name__} as a sample. Put '
                'ClipDataset around the dataset, or leave collate_fn out.'
            )
    return pseudo_collate([frame for clip in batch for frame in clip])
