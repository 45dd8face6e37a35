"""The best score on MSMI scenes that mono sound allows.

Two instances of a class look alike and sound alike: without the direction of
the sound, each is the sounding one with a probability of one half. A model
that segments both instances has half of their pixels right; one that segments
a single instance has a third right, over many images. With mono sound the
best choice is therefore to segment every object of the sounding classes.
"""

from pathlib import Path

import numpy as np

from mmcpm.dataset_converters.common.vpo_layout import COCO_TABLE
from mmcpm.dataset_converters.sounding_scenes.presets import get_preset
from mmcpm.dataset_converters.sounding_scenes.writer import read_marker
from mmcpm.datasets.metadata.vpo import TEST, read_vpo_index
from mmcpm.datasets.transforms.picture_files import read_picture
from mmcpm.evaluation import frame_confusion, scores_from_confusion


def no_direction_ceiling(data_root: str | Path) -> dict[str, float]:
    """Score the observer that segments every object of the heard classes.

    Returns:
        dict[str, float]: ``mIoU`` and ``Fbeta`` on the test images, in
        [0, 1], by the dataset-level protocol.
    """
    root = Path(data_root)
    num_classes = len(get_preset(read_marker(root)['preset']).class_names)
    class_of = np.zeros(256, np.uint8)
    class_of[COCO_TABLE[:num_classes]] = np.arange(num_classes)
    index = root / 'VPO-MSMI' / 'vpo_msmi_data_stereo.csv'
    confusion = np.zeros((num_classes, num_classes), np.int64)
    for image in read_vpo_index(index.read_text(), str(index), 'msmi'):
        if image.split != TEST:
            continue
        label, visible = (
            read_picture(root / image.folder / part / f'{image.name}.png')
            for part in ('mask', 'visible')
        )
        label = class_of[label]
        heard = np.isin(visible, np.unique(label))
        confusion += frame_confusion(
            np.where(heard, visible, 0), label, num_classes
        )
    scores = scores_from_confusion(confusion)
    return {name: scores[name] for name in ('mIoU', 'Fbeta')}
