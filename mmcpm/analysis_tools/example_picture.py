"""One picture of a method at work: two seconds of a clip, two sounds.

The frames are chosen by their labels alone, so that the picture is an example
and not the best of many.
"""

from pathlib import Path

import numpy as np

from mmcpm.datasets import SoundingScenesDataset
from mmcpm.datasets.transforms.picture_files import read_picture
from mmcpm.utils.io import write_whole

# A sounding object covers at least this share of the frame.
SMALLEST_SHARE = 0.04


def sounding_classes(label: np.ndarray) -> set[int]:
    """List the classes that a viewer finds in a label at a glance.

    Args:
        label (np.ndarray): Integer map of shape (H, W), 0 for background.

    Returns:
        set[int]: Class ids.
    """
    classes, counts = np.unique(label, return_counts=True)
    return {
        int(c)
        for c, count in zip(classes, counts, strict=True)
        if c and count >= SMALLEST_SHARE * label.size
    }


def choose_frames(labels: dict[str, np.ndarray]) -> tuple[str, str] | None:
    """Choose two frames of one clip in which different objects sound.

    Args:
        labels (dict[str, np.ndarray]): ``clip/frame`` to its label, in the
            order of the dataset.

    Returns:
        tuple[str, str], optional: The first two frames of the first clip
        that have no sounding class in common, with at least one each and
        three together; None if no clip has such frames.
    """
    clips: dict[str, dict[str, set[int]]] = {}
    for frame, label in labels.items():
        classes = sounding_classes(label)
        earlier = clips.setdefault(frame.split('/')[0], {})
        for name, others in earlier.items():
            apart = classes and others and not classes & others
            if apart and len(classes | others) > 2:
                return name, frame
        earlier[frame] = classes
    return None


def write_example(
    data_root: str | Path, pictures: str | Path, out_file: str | Path
) -> tuple[str, str] | None:
    """Put the pictures of two test frames below each other.

    Args:
        data_root (str | Path): Root of a dataset of sounding scenes.
        pictures (str | Path): Folder that ``tools/test.py --show-dir`` wrote.
        out_file (str | Path): Receives the picture, PNG.

    Returns:
        tuple[str, str], optional: The frames, as ``clip/frame``; None, and
        no picture, if no clip has two that differ in what sounds.
    """
    import cv2

    dataset = SoundingScenesDataset(
        data_root=str(data_root), split='test', test_mode=True
    )
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    frames = choose_frames(
        {i['sample_id']: read_picture(i['seg_map_path']) for i in infos}
    )
    if frames is None:
        return None
    parts = [
        cv2.imread(str(Path(pictures) / f'{frame}.png')) for frame in frames
    ]
    width = max(part.shape[1] for part in parts)
    parts = [
        cv2.copyMakeBorder(
            part,
            *(0, 0, 0, width - part.shape[1]),
            cv2.BORDER_CONSTANT,
            value=part[0, 0].tolist(),
        )
        for part in parts
    ]
    _, encoded = cv2.imencode('.png', np.concatenate(parts))
    write_whole(out_file, encoded.tobytes())
    return frames
