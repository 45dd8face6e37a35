"""Predictions for the frames of a clip, one batch after another."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmseg.structures import SegDataSample

from mmcpm.models.segmentors import AVEncoderDecoder
from mmcpm.utils.errors import UsageError

from .clip_batches import differ, fill_up
from .clips import Clip, choose_frames
from .frame_result import FrameResult, query_masks, score_classes
from .inference_pipeline import InferencePipeline

# Frames between two predictions wait for the first: not more than this.
MOST_BYTES = 1 << 28
# Unless the model compares frames: those of a clip wait for each other.
MOST_BYTES_OF_CLIP = 1 << 31


class ClipPredictor:
    """Segments clips, in constant memory.

    Args:
        model (AVEncoderDecoder): With ``dataset_meta``.
        pipeline (InferencePipeline): Prepares frames and sounds.
        draw (Callable): Draws a frame, its data sample and its sound.

    Attributes:
        timing (dict[str, float]): Seconds spent on 'decode' (frames and
            sounds) and 'model', since they were set to 0.
    """

    def __init__(
        self,
        model: AVEncoderDecoder,
        pipeline: InferencePipeline,
        draw: Callable[[Any, SegDataSample, torch.Tensor], np.ndarray],
    ) -> None:
        self._model, self._pipeline, self._draw = model, pipeline, draw
        self._classes = model.dataset_meta['classes']
        self.timing = {'decode': 0.0, 'model': 0.0}

    def stream(
        self,
        clip: Clip,
        *,
        batch_size: int = 1,
        fps: float | None = None,
        keep_data_samples: bool = False,
        draw: bool = False,
        return_queries: bool = False,
    ) -> Iterator[tuple[Any, FrameResult, bool]]:
        """Segment a clip, in constant memory.

        A model that compares T frames with each other (``clip_length`` of
        the pipeline) gets T consecutive predictions at a time, whatever lies
        between them. The last T, and those before a frame of another size,
        are filled up with frames that are black and silent, as by
        ClipDataset.

        Args:
            clip (Clip): Open clip.
            batch_size (int): Frames of a batch, rounded down to whole
                multiples of T, at least T.
            fps (float, optional): Predictions per second; None: every frame.
            keep_data_samples (bool): Whether results have a ``data_sample``.
            draw (bool): Whether results have a ``visualization``.
            return_queries (bool): Whether results have ``queries``.

        Yields:
            tuple[Any, FrameResult, bool]: Every frame, the latest prediction,
            and whether that is the frame's own.

        Raises:
            UsageError: If the frames within T predictions are too large.
        """
        check_rates(batch_size, fps)
        length = self._pipeline.clip_length
        batch_size = max(batch_size // length, 1) * length
        sound = self._pipeline.open_sound(clip.sound, clip.sound_name)
        self._ask_for_queries(return_queries)
        options = keep_data_samples, draw, return_queries
        waiting, batch, latest, held = [], [], None, 0
        frames = choose_frames(self._timed(clip.frames), fps)
        for frame, is_chosen in frames:
            packed = None
            if is_chosen:
                packed = self._pack_frame(clip, frame, sound)
            full = len(batch) >= batch_size or held > MOST_BYTES
            if len(batch) % length:
                full = False
                check_held(held, length)
            if batch and (full or is_chosen and differ(batch[-1], packed)):
                # A batch has frames of one size.
                for item in self._run(waiting, batch, latest, options):
                    latest = item[1]
                    yield item
                waiting, batch, held = [], [], 0
            if not (batch or is_chosen):
                yield frame, latest, False
                continue
            waiting.append((frame, is_chosen))
            held += frame.num_bytes
            if is_chosen:
                batch.append(packed)
        yield from self._run(waiting, batch, latest, options)

    def _timed(self, frames: Any) -> Iterator[Any]:
        """Measure how long decoding takes."""
        frames = iter(frames)
        while True:
            begin = time.perf_counter()
            frame = next(frames, None)
            self.timing['decode'] += time.perf_counter() - begin
            if frame is None:
                return
            yield frame

    def _pack_frame(self, clip: Clip, frame: Any, sound: Any) -> dict:
        """Prepare a frame and its sound for the model."""
        begin = time.perf_counter()
        name = getattr(frame, 'name', str(frame.index))
        packed = self._pipeline(
            frame.image, sound, frame.time, f'{clip.name}/{name}', frame.index
        )
        self.timing['decode'] += time.perf_counter() - begin
        return packed

    def _run(
        self,
        waiting: list[tuple[Any, bool]],
        batch: list[dict],
        latest: FrameResult | None,
        options: tuple[bool, bool, bool],
    ) -> Iterator[tuple[Any, FrameResult, bool]]:
        """Predict a batch, and hand out the frames that waited for it."""
        results = iter(self.predict_batch(batch, options[2]) if batch else ())
        for frame, is_chosen in waiting:
            if is_chosen:
                sample, audio, labels, scored, queries = next(results)
                latest = FrameResult(
                    frame.index,
                    frame.time,
                    sample.sample_id,
                    labels,
                    scored,
                    queries,
                    sample if options[0] else None,
                )
                if options[1]:
                    latest.visualization = self._draw(frame, sample, audio)
            yield frame, latest, is_chosen

    def predict_batch(
        self, batch: list[dict], return_queries: bool = False
    ) -> list[tuple[SegDataSample, dict, np.ndarray, list, list | None]]:
        """Run the model on a batch, and summarize what it says.

        Args:
            batch (list[dict]): Packed frames of one size; of models that
                compare frames, whole clips, but for the last.
            return_queries (bool): Whether to give the masks of the queries.

        Returns:
            list[tuple]: Per frame its data sample, its sound, index mask,
            classes, and masks of queries or None.
        """
        begin = time.perf_counter()
        sounds = [packed['data_samples'].audio for packed in batch]
        sizes = [tuple(packed['inputs'].shape[-2:]) for packed in batch]
        results = []
        clips = fill_up(batch, self._pipeline.clip_length)
        with torch.no_grad():
            samples = self._model.test_step(pseudo_collate(clips))
        samples = samples[: len(batch)]
        deep = len(self._classes) > 256
        for sample, audio, size in zip(samples, sounds, sizes, strict=True):
            labels = sample.pred_sem_seg.data[0]
            queries = None
            if return_queries:
                queries = query_masks(sample, size, self._classes)
            results.append(
                (
                    sample,
                    audio,
                    labels.cpu()
                    .numpy()
                    .astype(np.uint16 if deep else np.uint8),
                    score_classes(
                        sample.seg_logits.data, labels, self._classes
                    ),
                    queries,
                )
            )
        self.timing['model'] += time.perf_counter() - begin
        return results

    def _ask_for_queries(self, wanted: bool) -> None:
        """Let the head keep the masks of its queries, or not."""
        head = self._model.decode_head
        head.keep_query_masks = wanted
        windows = self._model.test_cfg.get('mode', 'whole') == 'slide'
        if wanted and (not hasattr(head, 'num_queries') or windows):
            raise UsageError(
                'there are no masks of queries: '
                + (
                    "test_cfg.mode='slide' cuts the frame into windows"
                    if windows
                    else f'{type(head).__name__} has no queries'
                )
            )


def check_held(held: int, length: int) -> None:
    """Refuse a clip between whose predictions too much lies.

    Args:
        held (int): Memory that the frames take so far, bytes.
        length (int): T.

    Raises:
        UsageError: If it is more than ``MOST_BYTES_OF_CLIP``.
    """
    if held > MOST_BYTES_OF_CLIP:
        raise UsageError(
            f'the model compares {length} predictions with each other, and '
            'the frames from the first to the last of them take more than '
            f'{MOST_BYTES_OF_CLIP >> 20} MB. Predict more often (fps), or '
            'make the pictures smaller'
        )


def check_rates(batch_size: int, fps: float | None) -> None:
    """Refuse a batch size or a rate that cannot be meant.

    Args:
        batch_size (int): Frames of a batch.
        fps (float, optional): Predictions per second.

    Raises:
        UsageError: If they are not positive.
    """
    if not (isinstance(batch_size, int) and batch_size >= 1):
        raise UsageError(f'batch_size must be at least 1, not {batch_size}')
    if fps is not None and not 0 < fps < float('inf'):
        raise UsageError(f'fps must be above 0, not {fps}')
