"""mIoU and F-beta of AVSBench-Semantic, as its first papers count them.

Zhou et al., "Audio-Visual Segmentation with Semantics", IJCV 2024; the right
block of CPM's Table 1 (J is mIoU, F is F-beta). A class is scored in every
frame in which it is labeled or predicted, and its scores are averaged over
those frames: one stray pixel costs a class a whole frame. Tables 2 to 4 use
the protocol of DatasetIoUFMetric instead, whose numbers are about twice as
high.
"""

from collections.abc import Sequence

import numpy as np
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmseg.registry import METRICS

from ..functional import class_table, frame_confusion, group_table
from .frame_metric import FrameMetric, clip_of

F_BETA_SQUARED = 0.3
# The published guard of the IoU against division by zero.
IOU_EPSILON = 2.2e-16
# Clips of these subsets have five frames and were padded to ten.
PADDED_FRAMES = {'v1s': 5, 'v1m': 5, 'v2': 0}


def frame_scores(
    intersection: np.ndarray, predicted: np.ndarray, labeled: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Score the classes that are labeled or predicted in a frame.

    Args:
        intersection (np.ndarray): Pixels that are right, int64, shape (C,).
        predicted (np.ndarray): Predicted pixels, likewise.
        labeled (np.ndarray): Labeled pixels, likewise.

    Returns:
        tuple[np.ndarray, np.ndarray]: IoU and F-beta (beta squared 0.3),
        float64 in [0, 1], shape (C,).
    """
    union = predicted + labeled - intersection
    iou = intersection / (union + IOU_EPSILON)
    # 1.3 P R / (0.3 P + R) with P = hits / predicted, R = hits / labeled,
    # which is NaN, and counts as 0, without hits.
    f_beta = (
        (1 + F_BETA_SQUARED)
        * intersection
        / (F_BETA_SQUARED * labeled + predicted)
    )
    return iou, f_beta


def sum_frame_scores(
    frames: Sequence[tuple], num_classes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Add up the scores of each class over frames.

    Args:
        frames (Sequence[tuple]): Frames, as
            :meth:`AVSSLegacyMetric.count_frame` gives them.
        num_classes (int): Number of classes K, background included.

    Returns:
        tuple[np.ndarray, np.ndarray, np.ndarray]: Sums of IoU and F-beta,
        float64, and the number of frames in which the class is labeled or
        predicted, int64, each of shape (K,).
    """
    iou, f_beta = np.zeros((2, num_classes))
    seen = np.zeros(num_classes, np.int64)
    for _, _, classes, counts in frames:
        frame_iou, frame_f_beta = frame_scores(*counts)
        iou[classes] += frame_iou
        f_beta[classes] += frame_f_beta
        seen[classes] += 1
    return iou, f_beta, seen


def average_scores(
    iou: np.ndarray, f_beta: np.ndarray, frames: np.ndarray
) -> dict[str, float]:
    """Average over frames, then over classes.

    Args:
        iou (np.ndarray): Sum over frames of each class's IoU, background
            first, float64, shape (K,).
        f_beta (np.ndarray): Sum of its F-beta, likewise.
        frames (np.ndarray): Frames in which the class is labeled or
            predicted, int64, shape (K,).

    Returns:
        dict[str, float]: In [0, 1]: ``mIoU`` and ``Fbeta`` over all classes,
        those never seen counting as 0; ``JF``, their mean; both over the
        classes that were seen (``_present``); both without the background
        (``no_background/``, classes 1 to K - 1) and as the published code
        computes "no background", which drops the last class and keeps the
        background (``no_background_as_coded/``, classes 0 to K - 2). NaN
        where no class is left.
    """
    seen = frames > 0
    columns = {
        name: np.divide(total, frames, out=np.zeros(len(frames)), where=seen)
        for name, total in (('mIoU', iou), ('Fbeta', f_beta))
    }

    def means(part: slice | np.ndarray) -> dict[str, float]:
        return {
            name: float(column[part].mean()) if column[part].size else np.nan
            for name, column in columns.items()
        }

    everything = means(slice(None))
    return {
        **everything,
        'JF': (everything['mIoU'] + everything['Fbeta']) / 2,
        **{f'{key}_present': value for key, value in means(seen).items()},
        **{
            f'{variant}/{key}': value
            for variant, part in (
                ('no_background', slice(1, None)),
                ('no_background_as_coded', slice(None, -1)),
            )
            for key, value in means(part).items()
        },
    }


@METRICS.register_module()
class AVSSLegacyMetric(FrameMetric):
    """mIoU and F-beta averaged over frames, for CPM's Table 1.

    The keys are ``avss_legacy/mIoU``, ``avss_legacy/Fbeta``,
    ``avss_legacy/JF`` (the column "J&F") and the variants that
    :func:`average_scores` lists; values lie in [0, 1].

    Args:
        include_padded (bool): Whether to score the five frames that clips of
            v1s and v1m lack to ten, as AVSBench's and AVSegFormer's code
            does. They are black and labeled as background. The datasets do
            not yield them, and no model is run on them: they count as
            predicted to be background. Needs ``subset`` in the data samples.
            COMBO leaves them out, which is the default. With them, the keys
            begin with ``avss_legacy_padded/``.
        size (tuple[int, int], optional): Height and width at which frames
            are scored. At another than the published (224, 224), or None for
            that of the label files, the keys tell it (``avss_legacy_96/``).
        **kwargs: Arguments of :class:`FrameMetric`.
    """

    default_prefix = 'avss_legacy'
    scores = tuple(average_scores(*np.ones((2, 2)), np.ones(2, np.int64)))
    protocol_size = (224, 224)

    def __init__(
        self,
        *,
        include_padded: bool = False,
        size: tuple[int, int] | None = (224, 224),
        **kwargs,
    ) -> None:
        departures = ['padded'] if include_padded else []
        super().__init__(size=size, departures=departures, **kwargs)
        self.include_padded = include_padded

    def count_frame(self, sample: dict, sample_id: str) -> tuple:
        """Count the pixels of each class of a frame.

        Returns:
            tuple: ``(sample_id, padded, classes, counts)``: how many frames
            its clip is padded with, the classes labeled or predicted in the
            frame, int64 (C,), and their pixels that are right, predicted
            and labeled, int64 (3, C).
        """
        padded = 0
        if self.include_padded:
            clip_of(sample_id)
            subset = sample.get('subset')
            if subset not in PADDED_FRAMES:
                raise ValueError(
                    f'{sample_id}: include_padded needs to know the subset '
                    f'of the clip, one of {tuple(PADDED_FRAMES)}, but got '
                    f'{subset!r}. Score AVSBenchSemanticDataset, with '
                    "'subset' among the meta_keys of PackAVSInputs."
                )
            padded = PADDED_FRAMES[subset]
        confusion = frame_confusion(
            sample['pred_sem_seg']['data'],
            sample['gt_sem_seg']['data'],
            len(self.classes),
            sample_id=sample_id,
        )
        counts = np.stack(
            [confusion.diagonal(), confusion.sum(0), confusion.sum(1)]
        )
        classes = np.flatnonzero(counts.any(axis=0))
        return sample_id, padded, classes, counts[:, classes]

    def label_pixels(self, frame: tuple) -> tuple[int, ...]:
        """How often each class is labeled in a counted frame."""
        pixels = np.zeros(len(self.classes), np.int64)
        pixels[frame[2]] = frame[3][2]
        return tuple(pixels.tolist())

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        """Average the scores of the frames."""
        iou, f_beta, frames = sum_frame_scores(results, len(self.classes))
        added = self._padded_frames(results)
        # Background, predicted as such.
        for total in (iou, f_beta, frames):
            total[0] += added
        scores = average_scores(iou, f_beta, frames)
        if is_main_process():
            self._log(len(results), added, iou, f_beta, frames, scores)
        return scores

    def _padded_frames(self, results: list[tuple]) -> int:
        """How many padded frames the clips have in all."""
        if not self.include_padded:
            return 0
        clips = {clip_of(name): padded for name, padded, *_ in results}
        return sum(clips.values())

    def _log(
        self,
        num_frames: int,
        added: int,
        iou: np.ndarray,
        f_beta: np.ndarray,
        frames: np.ndarray,
        scores: dict[str, float],
    ) -> None:
        """Print what was measured, how, and the scores."""
        with np.errstate(invalid='ignore'):
            columns = {'IoU': iou / frames, 'Fbeta': f_beta / frames}
        main = {k: v for k, v in scores.items() if '/' not in k}
        padding = f'and {added} padded ones' if added else 'none padded'
        print_log(
            f'{self.title}: classes scored frame by frame, '
            f'{num_frames} frames, {padding}, background included, classes '
            f'never seen count as 0, beta^2 = {F_BETA_SQUARED}. In per cent, '
            f'JF is J&F:\n{class_table(self.classes, columns)}\n'
            f'{group_table({"all": main})}',
            logger='current',
        )
