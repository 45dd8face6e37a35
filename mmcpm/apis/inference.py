"""Inference on frames with their sound, by a function."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmseg.structures import SegDataSample

from mmcpm.models.segmentors import AVEncoderDecoder
from mmcpm.utils.errors import UsageError

from .clip_batches import fill_up, split_clips
from .clips import read_any_sound
from .inference_pipeline import InferencePipeline

Frame = str | Path | np.ndarray


def inference_av_model(
    model: AVEncoderDecoder,
    frames: Frame | Sequence[Frame],
    sound: str | Path | np.ndarray | torch.Tensor | None,
    *,
    times: float | Sequence[float] | None = None,
    sample_rate: int | None = None,
) -> SegDataSample | list[SegDataSample]:
    """Segment frames of one clip, as mmseg's ``inference_model`` does.

    A model that compares T frames with each other gets T at a time, the last
    of them filled up, as from ClipDataset.

    Args:
        model (AVEncoderDecoder): Of :func:`.init_model`.
        frames (Frame | Sequence[Frame]): A frame or several in order: files,
            or arrays, BGR, uint8, shape (H, W, 3).
        sound (str | Path | np.ndarray | Tensor, optional): Sound of the
            clip: a file, or samples of shape (samples,) or (channels,
            samples). None for silence.
        times (float | Sequence[float], optional): Second of the sound at
            which each frame is shown. Defaults to None: one frame per
            second, from 0 on.
        sample_rate (int, optional): Of samples, Hz. Defaults to the model's.

    Returns:
        SegDataSample | list[SegDataSample]: With ``pred_sem_seg`` and
        ``seg_logits``; a list if ``frames`` is one.

    Raises:
        UsageError: If a file cannot be read, or if the numbers of frames and
            times differ.
        ValueError: If an array is no frame or no waveform.
    """
    is_single = isinstance(frames, str | Path | np.ndarray)
    frames = [frames] if is_single else list(frames)
    if times is None:
        times = range(len(frames))
    times = [times] if isinstance(times, int | float) else list(times)
    if len(times) != len(frames) or not all(t >= 0 for t in times):
        raise UsageError(
            'times must hold one number of seconds, not negative, for each of '
            f'the {len(frames)} frames, but is {times}'
        )
    pipeline = InferencePipeline(model.cfg)
    source, name = read_any_sound(sound, pipeline, sample_rate)
    opened = pipeline.open_sound(source, name)
    length = pipeline.clip_length
    packed = (
        pipeline(
            pipeline.load_image(frame),
            opened,
            float(time),
            f'frame/{index}',
            index,
        )
        for index, (frame, time) in enumerate(zip(frames, times, strict=True))
    )
    results = []
    try:
        for clip in split_clips(packed, length):
            batch = pseudo_collate(fill_up(clip, length))
            with torch.no_grad():
                results += model.test_step(batch)[: len(clip)]
    finally:
        if source is not None:
            source.close()
    return results[0] if is_single else results
