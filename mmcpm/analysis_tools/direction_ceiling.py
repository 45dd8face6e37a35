"""The best score on MSMI scenes of who hears everything but the direction.

Two instances of a class look alike and sound alike; without the direction
each of them sounds with a probability of one half. Who segments both has half
of the pixels of the two right, who segments one of them only a third, taken
over many images. The best that can be done with mono sound is therefore to
segment every object of the classes that are heard.
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

    Args:
        data_root (str | Path): Root of sounding scenes in the layout of
            VPO-MSMI.

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
