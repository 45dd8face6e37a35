"""Inference on frames, folders and videos, as mmengine's inferencers do."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.infer import BaseInferencer
from mmengine.logging import print_log
from mmseg.structures import SegDataSample

from mmcpm.engine.hooks.prediction_writer_hook import encode_labels
from mmcpm.models.segmentors import AVEncoderDecoder
from mmcpm.utils.errors import UsageError
from mmcpm.utils.io import ensure_writable, sample_file, write_whole
from mmcpm.visualization import AVSLocalVisualizer

from . import model_loading
from .clips import Clip, choose_frames, open_clip
from .frame_result import FrameResult, query_masks, score_classes
from .inference_pipeline import InferencePipeline

# Frames between two predictions wait for the first: not more than this.
MOST_BYTES = 1 << 28


class AVSInferencer(BaseInferencer):
    """Segments what sounds in frames, folders of frames, and videos.

    .. code-block:: python

        inferencer = AVSInferencer('cpm_r18_scenes', 'epoch_2.pth')
        result = inferencer('clip.mp4', fps=4)
        result['predictions'][0]['classes']

    An input is the path of a video, or a dict:

    - ``dict(frame=..., sound=..., time=0.0)``: a picture (file, or BGR,
      uint8, shape (H, W, 3)), a sound, and the second of the sound at which
      the picture is shown.
    - ``dict(frames=..., sound=..., rate=1.0)``: a folder or list of pictures,
      of which ``rate`` are shown per second.
    - ``dict(video=..., sound='own', audio_track=0)``: a video, maybe with
      another sound.

    A sound is a file, samples of shape (samples,) or (channels, samples) at
    ``sample_rate`` (of the dict; by default that of the model), or 'silence'.
    ``name`` is what sample ids begin with.

    Args:
        model (str | Path | Config): Config file, config, or the name of a
            model of the metafiles.
        weights (str | Path, optional): Checkpoint. Without it the weights are
            those of the name, or random, which is said.
        device (str, optional): Defaults to the GPU if there is one.
        audio_step (float, optional): See :class:`InferencePipeline`.
        show_progress (bool): Whether to show a progress bar. Defaults to
            True.

    Attributes:
        timing (dict[str, float]): Seconds spent on 'decode' (frames and
            sounds) and 'model', so far.

    Raises:
        UsageError: If config or checkpoint cannot be used.
    """

    def __init__(
        self,
        model: str | Path | Config,
        weights: str | Path | None = None,
        device: str | None = None,
        *,
        audio_step: float | None = None,
        show_progress: bool = True,
    ) -> None:
        self._audio_step = audio_step
        cfg, published = model_loading.resolve_config(model)
        weights = weights or published
        is_name = isinstance(model, str | Path) and not Path(model).is_file()
        if weights is None and is_name:
            raise UsageError(
                f'no checkpoint of {model} is published. Give the one that a '
                'training of yours wrote, such as epoch_1.pth'
            )
        super().__init__(
            cfg,
            None if weights is None else str(weights),
            device,
            scope='mmseg',
            show_progress=show_progress,
        )
        self.classes = self.model.dataset_meta['classes']
        self.timing = {'decode': 0.0, 'model': 0.0}

    @staticmethod
    def list_models(scope: str | None = None, patterns: str = '.*') -> list:
        """List the names that can be given as ``model``.

        Args:
            scope (str, optional): Not used.
            patterns (str): Not used.

        Returns:
            list[str]: Names.
        """
        return list(model_loading.list_models())

    def _init_model(
        self, cfg: Config, weights: str | None, device: str = 'cpu'
    ) -> AVEncoderDecoder:
        """Build the model, see :func:`.model_loading.init_model`."""
        return model_loading.init_model(cfg, weights, device)

    def _init_pipeline(self, cfg: Config) -> InferencePipeline:
        """Take the test pipeline of the config."""
        return InferencePipeline(cfg, self._audio_step)

    def _init_collate(self, cfg: Config) -> Callable:
        """Collate as the dataloaders of the configs do."""
        return pseudo_collate

    def _init_visualizer(self, cfg: Config) -> AVSLocalVisualizer:
        """Make the visualizer that draws pictures of frames."""
        visualizer = AVSLocalVisualizer(
            f'inferencer-{id(self)}', vis_backends=None
        )
        visualizer.dataset_meta = self.model.dataset_meta
        return visualizer

    def __call__(
        self,
        inputs: Any,
        *,
        batch_size: int = 1,
        fps: float | None = None,
        return_datasamples: bool = False,
        return_vis: bool = False,
        return_queries: bool = False,
        out_dir: str | Path = '',
        img_out_dir: str = 'vis',
        pred_out_dir: str = 'pred',
    ) -> dict:
        """Segment one input, or several.

        All masks are kept in memory: for a long video, use :meth:`stream` or
        :func:`.video_inference.segment_video`.

        Args:
            inputs (Any): An input, or a list of them, see above.
            batch_size (int): Frames of a batch. Defaults to 1.
            fps (float, optional): Predictions per second. Defaults to None:
                every frame.
            return_datasamples (bool): Whether predictions are the data
                samples of the model. Defaults to False.
            return_vis (bool): Whether to draw pictures. Defaults to False.
            return_queries (bool): Whether to give the masks of the queries.
                Defaults to False.
            out_dir (str | Path): Folder for pictures, index masks and
                ``predictions.json``. Defaults to '': nothing is written.
            img_out_dir (str): Its folder of pictures. Defaults to 'vis'.
            pred_out_dir (str): Its folder of masks. Defaults to 'pred'.

        Returns:
            dict: ``predictions``: per frame a dict with ``index``, ``time``,
            ``sample_id``, ``classes`` (``id``, ``name``, ``score``,
            ``area``), ``sem_seg`` (index mask, shape (H, W)) and, if asked
            for, ``queries``; of a single frame the dict itself. And
            ``visualization``: the pictures, RGB.
        """
        if out_dir:
            ensure_writable(out_dir, 'out_dir')
        found = []
        several = isinstance(inputs, list | tuple)
        for one in inputs if several else [inputs]:
            with open_clip(one, self.pipeline) as clip:
                several = several or not clip.is_single
                for note in clip.notes:
                    self._tell(note)
                for _, result, is_new in self.stream(
                    clip,
                    batch_size=batch_size,
                    fps=fps,
                    keep_data_samples=return_datasamples,
                    draw=return_vis or bool(out_dir),
                    return_queries=return_queries,
                ):
                    if not is_new:
                        continue
                    if out_dir:
                        folder = Path(out_dir)
                        self.save(
                            result, folder / img_out_dir, folder / pred_out_dir
                        )
                    if not return_vis:
                        result.visualization = None
                    found.append(result)
        if out_dir:
            told = {
                'classes': list(self.classes),
                'frames': [result.to_dict() for result in found],
            }
            text = json.dumps(told, indent=1)
            write_whole(Path(out_dir, 'predictions.json'), text.encode())
        return self._pack(found, several, return_datasamples)

    def _pack(
        self, found: list[FrameResult], several: bool, data_samples: bool
    ) -> dict:
        """Give the results the form that mmengine's inferencers have."""
        if data_samples:
            predictions = [result.data_sample for result in found]
        else:
            predictions = [
                {
                    **result.to_dict(),
                    'sem_seg': result.sem_seg,
                    **(
                        {}
                        if result.queries is None
                        else {'queries': result.queries}
                    ),
                }
                for result in found
            ]
        pictures = [result.visualization for result in found]
        if not several:
            return {
                'predictions': predictions[0],
                'visualization': pictures[0],
            }
        return {'predictions': predictions, 'visualization': pictures}

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

        Args:
            clip (Clip): Open clip.
            batch_size (int): Frames of a batch.
            fps (float, optional): Predictions per second; None: every frame.
            keep_data_samples (bool): Whether results have a ``data_sample``.
            draw (bool): Whether results have a ``visualization``.
            return_queries (bool): Whether results have ``queries``.

        Yields:
            tuple[Any, FrameResult, bool]: Every frame, the latest prediction,
            and whether that is the frame's own.
        """
        check_rates(batch_size, fps)
        sound = self.pipeline.open_sound(clip.sound, clip.sound_name)
        self._ask_for_queries(return_queries)
        options = keep_data_samples, draw, return_queries
        waiting, batch, latest, held = [], [], None, 0
        frames = choose_frames(self._timed(clip.frames), fps)
        for frame, is_chosen in frames:
            packed = None
            if is_chosen:
                packed = self._pack_frame(clip, frame, sound)
            full = len(batch) >= batch_size or held > MOST_BYTES
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
        packed = self.pipeline(
            frame.image, sound, frame.time, f'{clip.name}/{name}'
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
        results = iter(self._predict(batch, options[2]) if batch else ())
        for frame, is_chosen in waiting:
            if is_chosen:
                sample, packed, labels, scored, queries = next(results)
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
                    latest.visualization = self._draw(frame, sample, packed)
            yield frame, latest, is_chosen

    def _predict(
        self, batch: list[dict], return_queries: bool
    ) -> list[tuple[SegDataSample, dict, np.ndarray, list, list | None]]:
        """Run the model on a batch, and summarize what it says."""
        begin = time.perf_counter()
        sounds = [packed['data_samples'].audio for packed in batch]
        sizes = [tuple(packed['inputs'].shape[-2:]) for packed in batch]
        results = []
        samples = self.forward(self.collate_fn(batch))
        deep = len(self.classes) > 256
        for sample, audio, size in zip(samples, sounds, sizes, strict=True):
            labels = sample.pred_sem_seg.data[0]
            queries = None
            if return_queries:
                queries = query_masks(sample, size, self.classes)
            results.append(
                (
                    sample,
                    audio,
                    labels.cpu()
                    .numpy()
                    .astype(np.uint16 if deep else np.uint8),
                    score_classes(
                        sample.seg_logits.data, labels, self.classes
                    ),
                    queries,
                )
            )
        self.timing['model'] += time.perf_counter() - begin
        return results

    def _ask_for_queries(self, wanted: bool) -> None:
        """Let the head keep the masks of its queries, or not."""
        head = self.model.decode_head
        head.keep_query_masks = wanted
        windows = self.model.test_cfg.get('mode', 'whole') == 'slide'
        if wanted and (not hasattr(head, 'num_queries') or windows):
            raise UsageError(
                'there are no masks of queries: '
                + (
                    "test_cfg.mode='slide' cuts the frame into windows"
                    if windows
                    else f'{type(head).__name__} has no queries'
                )
            )

    def _draw(
        self, frame: Any, sample: SegDataSample, audio: torch.Tensor
    ) -> np.ndarray:
        """Draw frame, prediction and sound."""
        return self.visualizer.draw_clip(
            np.ascontiguousarray(frame.image[..., ::-1]),
            sample,
            audio=audio,
            title=f'{sample.sample_id}, {frame.time:.2f} s',
            draw_gt=False,
        )

    def visualize(self, inputs: list, preds: Any, **kwargs) -> list:
        """Give the pictures that :meth:`stream` drew."""
        return [result.visualization for result in preds]

    def postprocess(
        self,
        preds: list[FrameResult],
        visualization: list[np.ndarray],
        return_datasample: bool = False,
        **kwargs,
    ) -> dict:
        """Pack results, as mmengine's inferencers do."""
        return self._pack(preds, True, return_datasample)

    def save(
        self,
        result: FrameResult,
        picture_dir: Path | None,
        mask_dir: Path | None,
    ) -> None:
        """Save a result as ``<folder>/<clip>/<frame>.png``.

        Args:
            result (FrameResult): Result of a frame.
            picture_dir (Path, optional): Folder of pictures.
            mask_dir (Path, optional): Folder of index masks.
        """
        if mask_dir is not None:
            path = sample_file(mask_dir, result.sample_id, '.png')
            write_whole(path, encode_labels(result.sem_seg))
        if picture_dir is not None:
            path = sample_file(picture_dir, result.sample_id, '.png')
            write_whole(path, encode_picture(result.visualization))

    @staticmethod
    def _tell(note: str) -> None:
        """Tell a user what to know of an input."""
        print_log(note, logger='current', level=logging.WARNING)


def encode_picture(picture: np.ndarray) -> bytes:
    """Encode an RGB picture as a PNG file."""
    _, encoded = cv2.imencode('.png', picture[..., ::-1])
    return encoded.tobytes()


def differ(one: dict, other: dict) -> bool:
    """Tell whether two packed frames cannot share a batch."""
    return one['inputs'].shape != other['inputs'].shape


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
