"""What is written of a video, while it is read."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmcpm.utils.errors import UsageError
from mmcpm.utils.io import ensure_writable
from mmcpm.video.sound_stream import SoundStream, WaveformSound
from mmcpm.video.video_reader import USUAL_RATE
from mmcpm.video.video_writer import VideoWriter, check_video_name
from mmcpm.visualization.video_overlay import VideoOverlay

from .av_inferencer import AVSInferencer
from .clips import Clip
from .frame_list import FrameList
from .frame_result import FrameResult


@dataclass
class Outputs:
    """What is to be written of a video.

    Attributes:
        video (str | Path, optional): Video with overlay and sound.
        json (str | Path, optional): Classes with scores per frame.
        masks (str | Path, optional): Folder of index masks,
            ``<folder>/<video>/<frame>.png``.
        pictures (str | Path, optional): Folder of pictures of frame,
            prediction and sound.
    """

    video: str | Path | None = None
    json: str | Path | None = None
    masks: str | Path | None = None
    pictures: str | Path | None = None

    def check(self) -> None:
        """Refuse what cannot be written, before any work.

        Raises:
            UsageError: Names the path.
        """
        if self.video is not None:
            check_video_name(self.video, 'output')
        for path in (self.video, self.json):
            if path is None:
                continue
            if Path(path).is_dir():
                raise UsageError(f'{path} is a folder: give a file name')
            ensure_writable(Path(path).absolute().parent, 'another path')
        for folder in (self.masks, self.pictures):
            if folder is not None:
                ensure_writable(folder, 'another path')


@dataclass
class VideoSummary:
    """What was done with a video.

    Attributes:
        frames (int): Frames of the video.
        predictions (int): Predictions among them.
        video_seconds (float): Time of the last frame.
        seconds (float): How long it took.
        timing (dict[str, float]): Seconds for 'decode', 'model', 'draw' and
            'encode'.
        notes (list[str]): What a user should know.
        files (list[Path]): What was written, without masks and pictures.
    """

    frames: int = 0
    predictions: int = 0
    video_seconds: float = 0.0
    seconds: float = 0.0
    timing: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def tell(self) -> str:
        """Sum up in a line."""
        total = max(self.seconds, 1e-9)
        shares = ', '.join(
            f'{name} {100 * part / total:.0f} %'
            for name, part in self.timing.items()
        )
        return (
            f'{self.frames} frames, {self.predictions} predictions in '
            f'{self.seconds:.1f} s: {self.frames / total:.1f} frames per '
            f'second ({shares})'
        )


class OutputWriter:
    """The outputs of a video while it is read.

    Args:
        inferencer (AVSInferencer): Tells the classes, and draws.
        clip (Clip): Open clip.
        outputs (Outputs): What to write.
        summary (VideoSummary): What was done, updated.
        alpha (float): Opacity of the overlay, 0 to 1.
        legend (bool): Whether classes are named below the frames.

    Attributes:
        timing (dict[str, float]): Seconds spent on 'draw' and 'encode'.
    """

    def __init__(
        self,
        inferencer: AVSInferencer,
        clip: Clip,
        outputs: Outputs,
        summary: VideoSummary,
        alpha: float,
        legend: bool,
    ) -> None:
        self._inferencer, self._clip = inferencer, clip
        self._outputs, self._summary = outputs, summary
        self._alpha, self._legend = alpha, legend
        self._video = self._overlay = self._sound = self._json = None
        self.timing = {'draw': 0.0, 'encode': 0.0}
        if outputs.json is not None:
            self._json = FrameList(outputs.json, self._head())

    def _head(self) -> dict:
        """Describe the video in the JSON file."""
        info, pipeline = self._clip.info, self._inferencer.pipeline
        head = {
            'name': self._clip.name,
            'classes': list(self._inferencer.classes),
            'sound': os.path.basename(self._clip.sound_name),
            'sound_window_seconds': pipeline.seconds,
            'sound_step_seconds': pipeline.audio_step,
        }
        if info is not None:
            head |= {
                'width': info.width,
                'height': info.height,
                'frames_per_second': float(info.rate),
            }
        return head

    def add(self, frame: Any, result: FrameResult, is_new: bool) -> None:
        """Write a frame."""
        if self._outputs.video is not None:
            begin = time.perf_counter()
            image = frame.image
            if self._video is None:
                self._open_video(image.shape[1::-1])
            picture = self._overlay.draw(image, result.sem_seg)
            drawn = time.perf_counter()
            self._video.write(picture, frame.time)
            self.timing['draw'] += drawn - begin
            self.timing['encode'] += time.perf_counter() - drawn
        if is_new:
            if self._json is not None:
                self._json.add(result)
            self._inferencer.save(
                result, self._outputs.pictures, self._outputs.masks
            )
            self._summary.predictions += 1
        self._summary.frames += 1
        self._summary.video_seconds = frame.time

    def _open_video(self, size: tuple[int, int]) -> None:
        """Begin the video, when the size of its frames is known."""
        clip, meta = self._clip, self._inferencer.model.dataset_meta
        self._overlay = VideoOverlay(
            meta['classes'],
            meta['palette'],
            size,
            alpha=self._alpha,
            legend=self._legend,
        )
        self._sound = copy_of_sound(clip)
        info = clip.info
        self._video = VideoWriter(
            self._outputs.video,
            self._overlay.size,
            USUAL_RATE if info is None else info.rate,
            self._sound,
            *(() if info is None else (info.aspect,)),
        )

    def finish(self) -> None:
        """Close and name the outputs."""
        begin = time.perf_counter()
        if self._video is not None:
            self._summary.files.append(self._video.close())
            self._video = None
        self.timing['encode'] += time.perf_counter() - begin
        if self._json is not None:
            written = self._json.end(True, self._summary.notes)
            self._json = None
            self._summary.files.append(written)
        self._release()

    def abort(self) -> list[Path]:
        """Keep what can be used, under names that tell so."""
        kept = []
        if self._video is not None:
            kept.append(self._video.abort())
        if self._json is not None:
            kept.append(self._json.end(False, self._summary.notes))
        self._release()
        return [path for path in kept if path is not None]

    def _release(self) -> None:
        """Close the sound."""
        if self._sound is not None:
            self._sound.close()


def copy_of_sound(clip: Clip) -> Any:
    """Open the sound of a clip once more, to be written.

    Args:
        clip (Clip): The clip.

    Returns:
        Any: Open sound, or None for silence.
    """
    if clip.sound is None or isinstance(clip.sound, WaveformSound):
        return clip.sound
    if isinstance(clip.sound, SoundStream):
        return clip.sound.reopen()
    # A sound file: read by soundfile for the model, here by FFmpeg.
    return SoundStream(clip.sound_name)
