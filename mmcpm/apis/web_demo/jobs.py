"""What the web page has done for it: a clip segmented, with any sound."""

import json
import math
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmcpm.utils.errors import UsageError

from ..av_inferencer import AVSInferencer
from ..clips import OWN, SILENCE, open_clip
from ..video_inference import segment_video
from ..video_outputs import Outputs
from .limits import Limits, check_clip, check_file, shown_name, without_paths
from .separation import separate, why_not
from .time_line import Span, class_spans, draw_spectrogram, time_line

MUTE, SOLO, SWAP = 'mute', 'solo', 'swap'
BATCH_SIZE = 4


@dataclass
class Result:
    """A clip with what sounds in it.

    Attributes:
        video (str): Overlay video, with the sound that the model got.
        seconds (float): Length.
        spans (list[Span]): When classes sound.
        spectrogram (str): Address that holds its picture.
        notes (list[str]): What a visitor should know.
    """

    video: str
    seconds: float
    spans: list[Span]
    spectrogram: str
    notes: list[str] = field(default_factory=list)

    @property
    def classes(self) -> dict[int, str]:
        """dict[int, str]: Classes that sound, by number."""
        return {span.class_id: span.name for span in self.spans}


class Jobs:
    """Does one job at a time.

    Args:
        inferencer (AVSInferencer): Has the model.
        limits (Limits): What is taken.
        keep (Callable): Takes the path of a finished video, which is deleted
            afterwards, and returns where it is kept.
    """

    def __init__(
        self,
        inferencer: AVSInferencer,
        limits: Limits,
        keep: Callable[[str], str],
    ) -> None:
        self._inferencer, self.limits, self._keep = inferencer, limits, keep
        self._lock = threading.Lock()

    @property
    def no_solo(self) -> str:
        """Why no source can be separated; empty if one can."""
        return why_not(self._inferencer.model)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(self._inferencer.classes)

    def segment(self, clip: str | None, fps: float) -> Result:
        """Segment a clip with its own sound.

        Args:
            clip (str, optional): Upload.
            fps (float): Predictions per second.

        Returns:
            Result: What was found.

        Raises:
            UsageError: If the clip cannot be used; without a path.
        """
        return self._guarded(clip, None, fps, lambda: OWN)

    def compare(
        self,
        clip: str | None,
        own: Result,
        change: str,
        fps: float,
        *,
        source: str | None = None,
        other: str | None = None,
    ) -> Result:
        """Segment the frames of a clip with another sound.

        Args:
            clip (str, optional): Upload.
            own (Result): Result with its own sound.
            change (str): 'mute', 'solo' or 'swap'.
            fps (float): Predictions per second.
            source (str, optional): Name of the class of 'solo'.
            other (str, optional): Upload whose sound 'swap' takes.

        Returns:
            Result: What was found.

        Raises:
            UsageError: If something cannot be used; without a path.
        """

        def choose() -> Any:
            if change == MUTE:
                return SILENCE
            if change == SWAP:
                if not other:
                    raise UsageError(
                        'choose a second clip or sound, whose sound replaces '
                        'that of the first'
                    )
                check_file(other, self.limits)
                return other
            numbers = {name: k for k, name in own.classes.items()}
            if source not in numbers:
                raise UsageError(
                    'choose the class that is to sound alone: '
                    + (', '.join(numbers) or 'the model found none')
                )
            return separate(
                self._inferencer,
                str(clip),
                numbers[source],
                own.spans,
                own.seconds,
            )

        return self._guarded(clip, other, fps, choose)

    def _guarded(
        self,
        clip: str | None,
        other: str | None,
        fps: float,
        choose: Callable[[], Any],
    ) -> Result:
        """Run a job, and tell mistakes without paths."""
        uploads = {str(p): shown_name(p) for p in (clip, other) if p}
        if not clip:
            raise UsageError('choose a clip first: upload or record one')
        try:
            with self._lock:
                check_clip(clip, self.limits)
                result = self._run(clip, choose(), fps)
        except UsageError as error:
            raise UsageError(without_paths(str(error), uploads)) from error
        result.notes = [without_paths(n, uploads) for n in result.notes]
        return result

    def _run(self, clip: str, sound: str | np.ndarray, fps: float) -> Result:
        """Segment a clip with a sound."""
        inputs = {'video': clip, 'sound': sound, 'name': 'clip'}
        with tempfile.TemporaryDirectory(prefix='avs-') as folder:
            video, told = Path(folder, 'overlay.mp4'), Path(folder, 'a.json')
            summary = segment_video(
                self._inferencer,
                inputs,
                Outputs(video, told),
                batch_size=BATCH_SIZE,
                fps=fps,
            )
            found = json.loads(told.read_text())
            kept = self._keep(str(video))
        rate = found.get('frames_per_second', 25.0)
        seconds = summary.video_seconds + 1 / rate
        return Result(
            kept,
            seconds,
            class_spans(found['frames'], seconds),
            self._spectrogram(inputs, seconds),
            summary.notes,
        )

    def _spectrogram(self, inputs: dict, seconds: float) -> str:
        """Draw the sound that the model got."""
        pipeline = self._inferencer.pipeline
        samples = math.ceil(seconds * pipeline.sample_rate)
        with open_clip(inputs, pipeline) as clip:
            sound = pipeline.open_sound(clip.sound, clip.sound_name)
            waveform = sound.cut(0, samples)
        missing = max(0, samples - waveform.shape[1])
        waveform = np.pad(waveform, ((0, 0), (0, missing)))
        return draw_spectrogram(waveform, pipeline.sample_rate)

    def line(self, result: Result, video: str) -> str:
        """Draw the time line of a result, see :func:`.time_line.time_line`."""
        return time_line(
            result.spans,
            result.seconds,
            self._inferencer.model.dataset_meta['palette'],
            result.spectrogram,
            video,
        )
