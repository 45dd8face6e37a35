"""Which classes sound in a frame: the one owner of this question.

The labels of audio-visual segmentation hold sounding objects only, so that
the classes of a label map are the classes that sound. A crop can lose some of
them: RecordSoundingClasses notes those of the whole frame in the meta
information, ``audio_labels``.
"""

from collections.abc import Iterable, Mapping, Sequence

import cv2
import numpy as np
from mmseg.structures import SegDataSample

BACKGROUND = 0
IGNORE_INDEX = 255


def foreground_classes(
    classes: Iterable[int], ignore_index: int = IGNORE_INDEX
) -> tuple[int, ...]:
    """Drop the background and what is to be ignored.

    Args:
        classes (Iterable[int]): Class ids.
        ignore_index (int): Label to leave out.

    Returns:
        tuple[int, ...]: The others, in their order.
    """
    return tuple(k for k in classes if k not in (BACKGROUND, ignore_index))


def label_map_classes(
    label_map: np.ndarray, ignore_index: int = IGNORE_INDEX
) -> tuple[int, ...]:
    """List the foreground classes of a label map.

    Args:
        label_map (np.ndarray): Class ids ``[H, W]``.
        ignore_index (int): Label to leave out.

    Returns:
        tuple[int, ...]: Class ids, ascending.
    """
    if label_map.dtype == np.uint8:
        # A histogram is some forty times faster than sorting the pixels.
        counts = cv2.calcHist([label_map], [0], None, [256], [0, 256])
        found = np.flatnonzero(counts.ravel())
    else:
        found = np.unique(label_map)
    return foreground_classes(found.tolist(), ignore_index)


def labels_tell_sounds(num_classes: int) -> bool:
    """Tell whether frames with a class in common sound alike.

    Of two classes in all, background and "sounding", labels do not tell what
    sounds.

    Args:
        num_classes (int): Classes of the labels, background included.

    Returns:
        bool: False for two.
    """
    return num_classes > 2


def get_audio_labels(
    data_samples: Sequence[SegDataSample],
    num_classes: int,
    ignore_index: int = IGNORE_INDEX,
    default: Sequence[Iterable[int]] | None = None,
) -> list[list[int]]:
    """Read which foreground classes sound in each frame of a batch.

    Args:
        data_samples (Sequence[SegDataSample]): With ``audio_labels`` in the
            meta information.
        num_classes (int): Classes of the model, background included.
        ignore_index (int): Label to leave out.
        default (Sequence[Iterable[int]], optional): Class ids to take for
            each sample that has no ``audio_labels``.

    Returns:
        list[list[int]]: Class ids per frame.

    Raises:
        KeyError: If ``audio_labels`` are missing and there is no default.
        ValueError: If a class id is out of range.
    """
    classes = []
    for index, sample in enumerate(data_samples):
        found = sample.metainfo.get('audio_labels')
        if found is None and default is None:
            raise KeyError(
                'The data sample of '
                f'{sample.metainfo.get("img_path", "a frame")} has no '
                'audio_labels, which RecordSoundingClasses adds to the '
                'pipeline before the crop.'
            )
        found = default[index] if found is None else found
        found = list(foreground_classes(found, ignore_index))
        check_class_ids(found, num_classes, sample.metainfo)
        classes.append(found)
    return classes


def check_class_ids(
    classes: Iterable[int], num_classes: int, meta: Mapping
) -> None:
    """Refuse class ids that a model does not have.

    Args:
        classes (Iterable[int]): Class ids of a frame.
        num_classes (int): Classes of the model, background included.
        meta (Mapping): Meta information of the frame.

    Raises:
        ValueError: Names the frame and the class ids.
    """
    wrong = sorted(k for k in classes if not 0 <= k < num_classes)
    if wrong:
        name = meta.get('seg_map_path') or meta.get('img_path', 'a frame')
        raise ValueError(
            f'The labels of {name} hold the classes {wrong}, but the decode '
            f'head has 0..{num_classes - 1}. Set num_classes to that of the '
            'dataset.'
        )
