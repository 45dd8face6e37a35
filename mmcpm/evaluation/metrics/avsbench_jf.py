"""J and F of AVSBench's single-source (S4) and multi-source (MS3) tasks.

Zhou et al., "Audio-Visual Segmentation", ECCV 2022; the left blocks of CPM's
Table 1. J is the mean over frames of the IoU of the sounding object; F is the
largest value over thresholds of a curve that is averaged over the frames of
one video, and then averaged over videos. The published code averages the
curve over the frames of a batch, so its F depends on the batch size; with
one video per batch, its default for testing, it is this F.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmseg.registry import METRICS

from ..functional import frame_confusion, group_table
from .frame_metric import FrameMetric, clip_of

F_BETA_SQUARED = 0.3
NUM_THRESHOLDS = 255
# The published guards against division by zero, of J and of F.
J_EPSILON = 1e-7
F_EPSILON = 1e-20
FRAMES_PER_VIDEO = 5


class FrameCounts(NamedTuple):
    """Pixel counts of one frame.

    Attributes:
        sample_id (str): Name of the frame.
        pixels (int): Pixels that count.
        labeled (int): Pixels labeled as sounding.
        intersection (int): Pixels labeled and predicted as sounding.
        union (int): Pixels labeled or predicted as sounding.
        at_least (np.ndarray): Pixels whose probability reaches each
            threshold, int32, shape (255,); empty if nothing is labeled.
        hits (np.ndarray): Those of them that are labeled, likewise.
    """

    sample_id: str
    pixels: int
    labeled: int
    intersection: int
    union: int
    at_least: np.ndarray
    hits: np.ndarray


def foreground_probability(scores: torch.Tensor) -> torch.Tensor:
    """Probability that a pixel sounds: softmax over the two class scores.

    COMBO (CVPR 2024) turns the sums ``sum_n p_n(c) sigmoid(mask_n)`` of a
    mask classification model into the probabilities of F this way. Of the
    scores ``(0, logit)`` it is ``sigmoid(logit)``, what per-pixel models use.

    Args:
        scores (torch.Tensor): Any float dtype, shape (2, H, W), background
            first.

    Returns:
        torch.Tensor: float32 in [0, 1], shape (H, W).
    """
    scores = scores.float()
    return (scores[1] - scores[0]).sigmoid()


def threshold_counts(
    probability: torch.Tensor, labeled: torch.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Count pixels at or above each threshold, by one histogram.

    Thresholds and comparisons are in float32, as published: 255 steps from 0
    to ``1 - 1e-10``, which rounds to 1.

    Args:
        probability (torch.Tensor): float32 in [0, 1], any shape.
        labeled (torch.Tensor): bool, the same shape.

    Returns:
        tuple[np.ndarray, np.ndarray]: Pixels that reach each threshold, and
        those of them that are labeled, int32, shape (255,).
    """
    # Made on the CPU: other devices may round the steps otherwise.
    thresholds = torch.linspace(0, 1 - 1e-10, NUM_THRESHOLDS)
    thresholds = thresholds.to(probability.device)
    # How many thresholds the pixel reaches, 0 to 255.
    reached = torch.bucketize(probability, thresholds, right=True)
    bins = NUM_THRESHOLDS + 1
    histogram = torch.bincount(
        (reached + bins * labeled).flatten(), minlength=2 * bins
    )
    histogram = histogram.view(2, bins).cpu().numpy()
    # Threshold i is reached by the pixels that reach more than i thresholds.
    counts = histogram[:, ::-1].cumsum(axis=1)[:, -2::-1].astype(np.int32)
    return counts.sum(axis=0, dtype=np.int32), counts[1]


def jaccard(frame: FrameCounts) -> float:
    """IoU of the sounding object in a frame.

    Args:
        frame (FrameCounts): Its pixel counts.

    Returns:
        float: 0..1. Where nothing is labeled: the share of pixels in which
        nothing is predicted.
    """
    if frame.labeled:
        return frame.intersection / (frame.union + J_EPSILON)
    return (frame.pixels - frame.union) / (frame.pixels + J_EPSILON)


def f_curve(frame: FrameCounts) -> np.ndarray:
    """F-beta of a frame with a labeled object, at each threshold.

    Args:
        frame (FrameCounts): Its pixel counts.

    Returns:
        np.ndarray: float64 in [0, 1], shape (255,); 0 where neither precision
        nor recall is above 0.
    """
    precision = frame.hits / (frame.at_least + F_EPSILON)
    recall = frame.hits / (frame.labeled + F_EPSILON)
    weighted = F_BETA_SQUARED * precision + recall
    product = (1 + F_BETA_SQUARED) * precision * recall
    return np.divide(
        product, weighted, out=np.zeros_like(product), where=weighted > 0
    )


def video_f(frames: list[FrameCounts]) -> float | None:
    """Largest value of the mean curve of a video's labeled frames.

    Returns:
        float, optional: 0..1; None if no frame has a labeled object.
    """
    curves = [f_curve(frame) for frame in frames if frame.labeled]
    return float(np.mean(curves, axis=0).max()) if curves else None


@METRICS.register_module()
class AVSBenchJFMetric(FrameMetric):
    """J and F of S4 and MS3, independent of the batch size.

    Frames without a labeled object count in J, by the share of pixels that
    are left empty, and not in F. A video of such frames only counts as 0 in
    F. The keys are ``avsbench/J``, ``avsbench/F`` and ``avsbench/JF`` (the
    column "J&F": their mean); values lie in [0, 1].

    Frames need two class scores, ``seg_logits`` of shape (2, H, W), for F.
    J compares ``pred_sem_seg``. Frames of one video share what stands before
    the last slash of their ``sample_id``.

    Args:
        size (tuple[int, int], optional): Height and width at which frames
            are scored. At another than the published (224, 224), or None for
            that of the label files, the keys tell it (``avsbench_96/J``).
        frames_per_video (int, optional): Frames of which F takes the mean; a
            video with fewer or more is refused. None takes any number. If
            not 5, the keys tell it (``avsbench_10frames/F``).
        **kwargs: Arguments of :class:`FrameMetric`.
    """

    default_prefix = 'avsbench'
    scores = ('J', 'F', 'JF')
    protocol_size = (224, 224)
    required_fields = ('gt_sem_seg', 'pred_sem_seg', 'seg_logits')

    def __init__(
        self,
        *,
        size: tuple[int, int] | None = (224, 224),
        frames_per_video: int | None = FRAMES_PER_VIDEO,
        **kwargs,
    ) -> None:
        departures = []
        if frames_per_video != FRAMES_PER_VIDEO:
            departures.append(f'{frames_per_video or "any"}frames')
        super().__init__(size=size, departures=departures, **kwargs)
        self.frames_per_video = frames_per_video

    def check_names(self, names: Sequence[str]) -> None:
        """Refuse videos that are not whole: F is a mean over their frames."""
        if self.frames_per_video is None:
            return
        frames = Counter(clip_of(name) for name in names)
        wrong = [v for v in frames if frames[v] != self.frames_per_video]
        if wrong:
            raise ValueError(
                f'{self.prefix}/F is a mean over the {self.frames_per_video} '
                f'frames of a video, but {len(wrong)} of {len(frames)} videos '
                f'have another number: {wrong[0]!r} has {frames[wrong[0]]}. '
                'Score whole videos: as indices of the dataset, a multiple '
                f'of {self.frames_per_video}. If the videos are of another '
                'length, say so with AVSBenchJFMetric(frames_per_video=N).'
            )

    def count_frame(self, sample: dict, sample_id: str) -> FrameCounts:
        """Count the pixels of a frame.

        Returns:
            FrameCounts: Its pixel counts.
        """
        clip_of(sample_id)
        label = sample['gt_sem_seg']['data']
        # Checks classes and sizes.
        (_, false), (missed, hit) = confusion = frame_confusion(
            sample['pred_sem_seg']['data'],
            label,
            num_classes=2,
            ignore_index=None,
            sample_id=sample_id,
        )
        probability = self.probability(sample, label.shape[-2:], sample_id)
        empty = np.zeros(0, np.int32)
        counts = (empty, empty)
        if hit + missed:
            label = torch.as_tensor(label).to(probability.device)
            label = label.reshape(probability.shape)
            counts = threshold_counts(probability, label == 1)
        return FrameCounts(
            sample_id=sample_id,
            pixels=int(confusion.sum()),
            labeled=int(hit + missed),
            intersection=int(hit),
            union=int(hit + missed + false),
            at_least=counts[0],
            hits=counts[1],
        )

    def probability(
        self, sample: dict, shape: tuple[int, int], sample_id: str
    ) -> torch.Tensor:
        """Tell how probable it is that a pixel sounds.

        Args:
            sample (dict): Sample with ``seg_logits`` (2, H, W).
            shape (tuple[int, int]): Height and width of its label.
            sample_id (str): Name of the frame, for messages.

        Returns:
            torch.Tensor: float32 in [0, 1], shape (H, W).

        Raises:
            ValueError: If the scores have another shape or are not finite.
        """
        scores = sample['seg_logits']['data']
        if tuple(scores.shape) != (2, *shape):
            raise ValueError(
                f'{sample_id}: the class scores (seg_logits) have shape '
                f'{tuple(scores.shape)}, expected '
                f'{(2, *shape)} (background and sounding, height '
                'and width of the label). F needs a model of two classes.'
            )
        probability = foreground_probability(scores)
        if not probability.sum().isfinite():
            raise ValueError(
                f'{sample_id}: the class scores (seg_logits) are not finite. '
                'The model has diverged, or its checkpoint is damaged.'
            )
        return probability

    def label_pixels(self, frame: FrameCounts) -> tuple[int, ...]:
        """How often each label occurs in a counted frame."""
        return frame.pixels - frame.labeled, frame.labeled

    def compute_metrics(self, results: list[FrameCounts]) -> dict[str, float]:
        """Average J over frames and F over videos."""
        videos = {}
        for frame in results:
            videos.setdefault(clip_of(frame.sample_id), []).append(frame)
        per_video = [video_f(frames) for frames in videos.values()]
        silent = per_video.count(None)
        known = [score for score in per_video if score is not None]
        j = sum(jaccard(frame) for frame in results) / len(results)
        f = sum(known) / len(videos)
        scores = dict(zip(self.scores, (j, f, (j + f) / 2), strict=True))
        if is_main_process():
            print_log(
                f'{self.title}: {len(results)} frames of '
                f'{len(videos)} videos, J per frame, F per video ({silent} '
                'without any labeled object count as 0 in F). In per cent, '
                f'JF is J&F:\n{group_table({"all": scores})}',
                logger='current',
            )
        return scores
