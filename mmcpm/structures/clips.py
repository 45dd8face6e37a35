"""Clips in a batch: T frames each, one after the other.

ClipDataset makes such batches, and an inferencer does where a config tests
with ClipDataset. Otherwise a clip is one frame.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from .audio_features import AudioFeatures

Features = TypeVar('Features', bound=AudioFeatures)


def is_scored(meta: Mapping) -> bool:
    """Tell whether a sample has a label.

    Args:
        meta (Mapping): Meta information of the sample.

    Returns:
        bool: False of what only fills up a clip, and of a frame without a
        label.
    """
    return bool(meta.get('frame_valid', True) and meta.get('labeled', True))


def read_clip_length(metas: Sequence[Mapping]) -> int:
    """Read how many frames of a batch make a clip.

    Args:
        metas (Sequence[Mapping]): Meta information of its samples:
            ``clip_length`` and, where they are known, ``uid`` and
            ``frame_index``.

    Returns:
        int: T; 1 if no sample tells.

    Raises:
        ValueError: If the batch is not whole clips in order.
    """
    lengths = {meta.get('clip_length', 1) for meta in metas}
    length = max(lengths, default=1)
    if length == 1:
        return 1
    where = f'A batch of {len(metas)} samples'
    remedy = (
        ' Expected whole clips in order: read them with ClipDataset and '
        "collate_fn=dict(type='clip_collate'), and do not change their order."
    )
    if len(lengths) > 1:
        raise ValueError(
            f'{where} mixes clip_length {sorted(lengths)}. Give all datasets '
            'of a loader one clip_length.'
        )
    if len(metas) % length:
        raise ValueError(
            f'{where} is no multiple of clip_length={length}.{remedy}'
        )
    for start in range(0, len(metas), length):
        clip = metas[start : start + length]
        names = {meta['uid'] for meta in clip if 'uid' in meta}
        if len(names) > 1:
            raise ValueError(
                f'{where} of clip_length={length} has frames of '
                f'{len(names)} clips ({", ".join(sorted(names)[:3])}) at '
                f'{start}..{start + length - 1}.{remedy}'
            )
        order = [m['frame_index'] for m in clip if 'frame_index' in m]
        if any(a >= b for a, b in zip(order, order[1:], strict=False)):
            raise ValueError(
                f'{where} of clip_length={length} has the frames {order} of '
                f'{", ".join(names) or "a clip"} at '
                f'{start}..{start + length - 1}.{remedy}'
            )
    return length


def mark_clips(
    audio: Features,
    data_samples: Sequence[BaseDataElement] | None,
    device: torch.device,
) -> Features:
    """Note which samples of a batch make a clip, and which are frames.

    Args:
        audio (AudioFeatures): Features of the sounds of the batch.
        data_samples (Sequence[BaseDataElement], optional): Its samples. If
            None, each is a clip of its own.
        device (torch.device): Device of ``valid``.

    Returns:
        AudioFeatures: Of the same class, with ``clip_length`` and ``valid``.

    Raises:
        ValueError: If the batch is not whole clips in order.
    """
    metas = [sample.metainfo for sample in data_samples or ()]
    valid: Tensor | None = None
    flags = [bool(meta.get('frame_valid', True)) for meta in metas]
    if not all(flags):
        valid = torch.tensor(flags, device=device)
    return replace(audio, clip_length=read_clip_length(metas), valid=valid)
