"""Inference on frames, folders and videos, as mmengine's inferencers do."""

import json
import logging
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import cv2
import numpy as np
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
from .clip_predictor import ClipPredictor
from .clips import Clip, open_clip
from .frame_result import FrameResult
from .inference_pipeline import InferencePipeline


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

    A model that compares T frames with each other, whose config tests it with
    ClipDataset, gets T consecutive predicted frames at a time, see
    :meth:`.ClipPredictor.stream`; a single picture is filled up to T. The
    frames of the datasets are one second apart, as with ``fps=1``.

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
        classes (tuple[str, ...]): Names of the classes.
        predictor (ClipPredictor): Segments clips.

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
        self.predictor = ClipPredictor(
            self.model,
            self.pipeline,
            lambda *one: self.visualize(*([part] for part in one))[0],
        )

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
            batch_size (int): Frames of a batch, rounded to whole clips of T
                where the model compares T frames. Defaults to 1.
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
        pictures = [result.visualization for result in found]
        return self.postprocess(
            found, pictures, return_datasamples, not several
        )

    def stream(
        self, clip: Clip, **options: Any
    ) -> Iterator[tuple[Any, FrameResult, bool]]:
        """Segment a clip in constant memory, see ClipPredictor.

        Args:
            clip (Clip): Open clip, see :func:`.clips.open_clip`.
            options (Any): Of :meth:`.ClipPredictor.stream`.

        Returns:
            Iterator[tuple[Any, FrameResult, bool]]: Every frame, the latest
            prediction, and whether that is the frame's own.
        """
        return self.predictor.stream(clip, **options)

    def visualize(
        self, inputs: list, preds: list[SegDataSample], sounds: list = ()
    ) -> list[np.ndarray]:
        """Draw frames, predictions and sounds.

        Args:
            inputs (list): Frames, with ``image`` and ``time``.
            preds (list[SegDataSample]): Their predictions.
            sounds (list): What the model got, shape (channels, samples).

        Returns:
            list[np.ndarray]: Pictures, RGB.
        """
        return [
            self.visualizer.draw_clip(
                np.ascontiguousarray(frame.image[..., ::-1]),
                sample,
                audio=audio,
                title=f'{sample.sample_id}, {frame.time:.2f} s',
                draw_gt=False,
            )
            for frame, sample, audio in zip_longest(inputs, preds, sounds)
        ]

    def postprocess(
        self,
        preds: list[FrameResult],
        visualization: list[np.ndarray | None],
        return_datasample: bool = False,
        is_single: bool = False,
    ) -> dict:
        """Give results the form that mmengine's inferencers have.

        Args:
            preds (list[FrameResult]): Results of all frames.
            visualization (list[np.ndarray | None]): Pictures.
            return_datasample (bool): Whether predictions are data samples.
            is_single (bool): Whether the one frame stands for itself.

        Returns:
            dict: See :meth:`__call__`.
        """
        predictions = [
            result.data_sample if return_datasample else result.to_arrays()
            for result in preds
        ]
        if is_single:
            predictions, visualization = predictions[0], visualization[0]
        return {'predictions': predictions, 'visualization': visualization}

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
