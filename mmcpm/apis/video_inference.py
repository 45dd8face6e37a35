"""A video in; a video with overlay and sound, JSON and masks out."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mmcpm.utils.errors import UsageError
from mmcpm.utils.interrupts import interrupt_later
from mmcpm.utils.io import PARTIAL

from .av_inferencer import AVSInferencer
from .clip_predictor import check_rates
from .clips import Clip, open_clip
from .frame_result import FrameResult
from .video_outputs import Outputs, OutputWriter, VideoSummary

# Sound that ends so much earlier than the picture is worth a note, seconds.
SHORT_SOUND = 0.5


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
        batch_size (int): Frames of a batch, see :class:`.AVSInferencer`.
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
    predictor = inferencer.predictor
    predictor.timing = dict.fromkeys(predictor.timing, 0.0)
    with open_clip(inputs, inferencer.pipeline) as clip:
        summary.notes += clip.notes
        writer = OutputWriter(
            inferencer, clip, outputs, summary, alpha, legend
        )
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
                # Half a frame would cost the video more than that frame.
                with interrupt_later():
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
    summary.timing = {**predictor.timing, **writer.timing}
    return summary


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
