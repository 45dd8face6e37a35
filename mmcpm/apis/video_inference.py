"""A video in; a video with overlay and sound, JSON and masks out."""

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mmcpm.utils.errors import UsageError
from mmcpm.utils.io import PARTIAL, ensure_writable
from mmcpm.utils.partial_file import PartialFile
from mmcpm.video.sound_stream import SoundStream, WaveformSound
from mmcpm.video.video_reader import USUAL_RATE
from mmcpm.video.video_writer import VideoWriter, check_video_name
from mmcpm.visualization.video_overlay import VideoOverlay

from .av_inferencer import AVSInferencer, check_rates
from .clips import Clip, open_clip
from .frame_result import FrameResult

# Sound that ends so much earlier than the picture is worth a note, seconds.
SHORT_SOUND = 0.5


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


class FrameList:
    """A JSON file to which frames are added, valid however it ends.

    Args:
        path (str | Path): Name of the file.
        head (dict): What is told before the frames.
    """

    def __init__(self, path: str | Path, head: dict) -> None:
        self._target = PartialFile(path)
        # Closed by end().
        self._file = open(  # noqa: SIM115
            self._target.path, 'w', encoding='utf-8'
        )
        self._file.write(json.dumps(head, indent=1)[:-2] + ',\n "frames": [')
        self._next, self._whole = '\n  ', self._file.tell()

    def add(self, result: FrameResult) -> None:
        """Add a frame."""
        self._file.write(self._next + json.dumps(result.to_dict()))
        self._next = ',\n  '

    def end(self, is_complete: bool, notes: list[str]) -> Path | None:
        """Close and name the file.

        Args:
            is_complete (bool): Whether all frames are in it.
            notes (list[str]): What a user should know.

        Returns:
            Path | None: The name; None if nothing of it could be kept.
        """
        told = {'complete': is_complete, 'notes': notes}
        tail = '\n ],\n ' + json.dumps(told, indent=1)[1:].lstrip() + '\n'
        try:
            self._file.write(tail)
            self._file.close()
        except OSError:
            with contextlib.suppress(OSError):
                self._file.close()
            if is_complete or not self._repair(tail):
                self._target.discard()
                if is_complete:
                    raise
                return None
        if is_complete:
            return self._target.finish()
        return self._target.keep()

    def _repair(self, tail: str) -> bool:
        """End a file, of which the disk took a part, after a whole frame."""
        tail = tail.encode()
        with contextlib.suppress(OSError, ValueError):
            data = self._target.path.read_bytes()
            # Shorter than before: the tail takes the place of some frames.
            end = data.rindex(b'\n  {', 0, len(data) - len(tail))
            end = len(data[:end].rstrip(b','))
            with open(self._target.path, 'r+b') as file:
                file.seek(end)
                file.write(tail)
                file.truncate()
            json.loads(self._target.path.read_text())
            return True
        return False


def segment_video(
    inferencer: AVSInferencer,
    inputs: Any,
    outputs: Outputs,
    *,
    batch_size: int = 1,
    fps: float | None = None,
    alpha: float = 0.6,
    legend: bool = True,
) -> VideoSummary:
    """Segment a video and write the results while it is read.

    Memory does not grow with the length of the video. An output gets its name
    when it is whole. If the work is interrupted, what is there is called
    ``<name>.partial.<suffix>``; it can be played and read, and ends early.

    Args:
        inferencer (AVSInferencer): Has the model.
        inputs (Any): A video, or a folder of frames with a sound, see
            :class:`AVSInferencer`.
        outputs (Outputs): What to write.
        batch_size (int): Frames of a batch.
        fps (float, optional): Predictions per second; the overlay shows each
            until the next. Defaults to None: every frame.
        alpha (float): Opacity of the overlay, 0 to 1.
        legend (bool): Whether classes are named below the frames.

    Returns:
        VideoSummary: What was done.

    Raises:
        UsageError: If the input cannot be read or an output not be written.
        KeyboardInterrupt: With a message that names what was kept.
    """
    check_rates(batch_size, fps)
    outputs.check()
    begin = time.perf_counter()
    summary = VideoSummary()
    inferencer.timing = dict.fromkeys(inferencer.timing, 0.0)
    with open_clip(inputs, inferencer.pipeline) as clip:
        summary.notes += clip.notes
        writer = _Writer(inferencer, clip, outputs, summary, alpha, legend)
        stream = inferencer.stream(
            clip,
            batch_size=batch_size,
            fps=fps,
            draw=outputs.pictures is not None,
        )
        try:
            for frame, result, is_new in _with_progress(
                stream, clip, inferencer.show_progress
            ):
                writer.add(frame, result, is_new)
            _note_damage(clip, summary)
            writer.finish()
        except BaseException as error:
            kept = writer.abort()
            told = _tell_kept(kept, outputs)
            if isinstance(error, KeyboardInterrupt):
                raise KeyboardInterrupt(told) from error
            if isinstance(error, UsageError):
                raise type(error)(f'{error}. {told}') from error
            if isinstance(error, OSError):
                raise UsageError(_tell_lost(error, outputs, told)) from error
            raise
    summary.seconds = time.perf_counter() - begin
    summary.timing = {**inferencer.timing, **writer.timing}
    return summary


class _Writer:
    """The outputs of a video while it is read."""

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


def _with_progress(
    stream: Iterator, clip: Clip, show: bool
) -> Iterator[tuple[Any, FrameResult, bool]]:
    """Show how many seconds of the video are done."""
    total = None if clip.duration is None else round(clip.duration, 1)
    # A file or a pipe gets fewer updates than a terminal.
    seconds = 0.2 if sys.stderr.isatty() else 10.0
    with tqdm(
        total=total,
        desc=clip.name[:24],
        unit='s',
        disable=not show,
        mininterval=seconds,
        maxinterval=10 * seconds,
        dynamic_ncols=True,
        bar_format='{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total:.1f} s '
        'of video [{elapsed}<{remaining}]'
        if total
        else '{desc}: {n:.1f} s of video [{elapsed}]',
    ) as bar:
        for item in stream:
            yield item
            step = item[0].time - bar.n
            bar.update(
                max(step if total is None else min(step, total - bar.n), 0)
            )
        if total:
            bar.update(max(total - bar.n, 0))


def _note_damage(clip: Clip, summary: VideoSummary) -> None:
    """Tell what of a video could not be read."""
    name = clip.name if clip.info is None else clip.info.path
    if clip.reader is not None and clip.reader.num_broken:
        summary.notes.append(
            f'{name}: {clip.reader.num_broken} damaged packets of the picture '
            'were passed over'
        )
    if clip.reader is not None and clip.reader.is_cut:
        summary.notes.append(
            f'{name} ends early: the file was cut after '
            f'{summary.video_seconds:.1f} s'
        )
    sound = clip.sound
    if getattr(sound, 'num_broken', 0):
        summary.notes.append(
            f'{name}: {sound.num_broken} damaged packets of the sound were '
            'passed over'
        )
    if sound is None:
        return
    ends = sound.frames / sound.rate
    if ends < summary.video_seconds - SHORT_SOUND:
        summary.notes.append(
            f'the sound ends at {ends:.1f} s, the picture at '
            f'{summary.video_seconds:.1f} s: the rest is silence'
        )


def _tell_kept(kept: list[Path], outputs: Outputs) -> str:
    """Tell what is there after an interruption."""
    told = []
    if kept:
        told.append(
            'what was done is kept, and ends early: '
            + ', '.join(map(str, kept))
        )
    folders = [
        str(folder)
        for folder in (outputs.masks, outputs.pictures)
        if folder is not None
    ]
    if folders:
        told.append(f'whole files of frames are in {", ".join(folders)}')
    return '; '.join(told) or 'nothing was kept'


def _tell_lost(error: OSError, outputs: Outputs, told: str) -> str:
    """Describe why an output cannot be written."""
    reason = error.strerror or str(error)
    name = str(error.filename or outputs.video or outputs.json)
    if PARTIAL in name:
        name = str(outputs.video or outputs.json)
    return (
        f'{name} could not be written: {reason.lower()}. Make room, or choose '
        f'another place. {told[0].upper()}{told[1:]}'
    )
