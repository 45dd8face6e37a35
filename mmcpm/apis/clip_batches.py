"""Batches of whole clips, for models that compare T frames with each other.

Such a model has ClipDataset in the test_dataloader of its config. Frames of a
video or a folder are put together in the same way: the first T of which
predictions are made are a clip, then the next T.
"""

from collections.abc import Iterable, Iterator

from mmengine.config import Config
from mmseg.registry import DATASETS

from mmcpm.datasets.clip_dataset import ClipDataset, blank_frame
from mmcpm.utils.config_types import is_type
from mmcpm.utils.errors import UsageError

from .nested_settings import nested_datasets


def find_clip_length(cfg: Config) -> int:
    """Find how many frames a model is tested on at a time.

    Args:
        cfg (Config): Config with ``test_dataloader``.

    Returns:
        int: T of ClipDataset; 1 without it.

    Raises:
        UsageError: If datasets of the test have different T.
    """
    outermost = (cfg.get('test_dataloader') or {}).get('dataset')
    found = {
        settings['clip_length']
        for _, settings in nested_datasets(outermost, '')
        if is_type(settings, ClipDataset, DATASETS)
    }
    if len(found) > 1:
        raise UsageError(
            f'test_dataloader mixes clip_length {sorted(found)}: expected one '
            'number of frames, which the model gets of a video as well'
        )
    return found.pop() if found else 1


def mark_frame(packed: dict, length: int, index: int) -> dict:
    """Note that a frame is one of a clip.

    Args:
        packed (dict): Packed frame.
        length (int): T. Of 1, nothing is noted.
        index (int): Number of the frame in its video or folder.

    Returns:
        dict: The packed frame.
    """
    if length > 1:
        packed['data_samples'].set_metainfo(
            {
                'clip_length': length,
                'frame_index': index,
                'frame_valid': True,
                'labeled': False,
            }
        )
    return packed


def fill_up(frames: list[dict], length: int) -> list[dict]:
    """Add black and silent frames, until the last clip is whole.

    Args:
        frames (list[dict]): Packed frames in order, at least one.
        length (int): T.

    Returns:
        list[dict]: The frames and, behind them, those that are none
        (``frame_valid`` False), as ClipDataset adds them.
    """
    last = frames[-1]['data_samples']
    clip = last.sample_id.rpartition('/')[0]
    return frames + [
        blank_frame(
            frames[-1],
            sample_id=f'{clip}/padding_{number}',
            frame_index=last.frame_index + number,
        )
        for number in range(1, -len(frames) % length + 1)
    ]


def split_clips(frames: Iterable[dict], length: int) -> Iterator[list[dict]]:
    """Cut frames into clips.

    Args:
        frames (Iterable[dict]): Packed frames in order.
        length (int): T.

    Yields:
        list[dict]: Up to T frames of one size: another size begins a clip.
    """
    clip: list[dict] = []
    for packed in frames:
        if clip and (len(clip) == length or differ(clip[-1], packed)):
            yield clip
            clip = []
        clip.append(packed)
    if clip:
        yield clip


def differ(one: dict, other: dict) -> bool:
    """Tell whether two packed frames cannot share a batch."""
    return one['inputs'].shape != other['inputs'].shape
