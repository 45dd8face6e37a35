"""Classes of a sample, read from its label files."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mmcv.transforms import LoadAnnotations

from ..structures.audio_labels import label_map_classes


def read_classes(
    steps: Sequence[Callable[[dict], Any]],
    infos: Iterable[dict],
    ignore_index: int,
    name: str,
) -> list[int]:
    """List the classes that are labeled in some frames.

    Args:
        steps (Sequence[Callable]): Pipeline, with a transform that loads
            annotations.
        infos (Iterable[dict]): What the pipeline gets for each frame.
        ignore_index (int): Label to leave out.
        name (str): Name of the dataset, for messages.

    Returns:
        list[int]: Class ids, ascending, without background.

    Raises:
        ValueError: If the pipeline reads no labels.
    """
    loaders = [step for step in steps if isinstance(step, LoadAnnotations)]
    if not loaders:
        raise ValueError(
            'the classes of a sample are those of its label, but the '
            f'pipeline of {name} loads none: it needs LoadAVSAnnotations, or '
            'the one of its kind'
        )
    found: set[int] = set()
    for info in infos:
        label = loaders[0](info)['gt_seg_map']
        found.update(label_map_classes(label, ignore_index))
    return sorted(found)
