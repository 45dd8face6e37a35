"""The protocols that masks of a dataset are scored under, at once."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from mmcpm.evaluation import (
    AVSBenchJFMetric,
    AVSSLegacyMetric,
    DatasetIoUFMetric,
)
from mmcpm.evaluation.metrics.avsbench_jf import FRAMES_PER_VIDEO
from mmcpm.evaluation.metrics.avss_legacy import PADDED_FRAMES
from mmcpm.evaluation.metrics.frame_metric import FrameMetric, clip_of

PUBLISHED_SIZE = (224, 224)
IGNORED = 255


class StoredMaskJFMetric(AVSBenchJFMetric):
    """AVSBench's J and F of stored masks: their probabilities are given."""

    required_fields = ('gt_sem_seg', 'pred_sem_seg', 'probability')

    def probability(
        self, sample: dict, shape: tuple[int, int], sample_id: str
    ) -> torch.Tensor:
        """Return the ``probability`` of the sample, float32 (H, W)."""
        return torch.from_numpy(np.ascontiguousarray(sample['probability']))


class Sizes(NamedTuple):
    """Height and width at which frames are scored; None: of the label file.

    Attributes:
        frame (tuple[int, int], optional): By the protocols that score each
            frame, avsbench and avss_legacy.
        dataset (tuple[int, int], optional): By the protocol dataset.
    """

    frame: tuple[int, int] | None
    dataset: tuple[int, int] | None


class Variant(NamedTuple):
    """A protocol at one size.

    Attributes:
        metric (FrameMetric): Counts and scores.
        foreground (bool): Whether all classes count as one that sounds.
    """

    metric: FrameMetric
    foreground: bool = False


def build_variants(
    classes: Sequence[str],
    sample_ids: Sequence[str],
    sizes: Sequence[Sizes],
    padded: bool = False,
) -> list[Variant]:
    """Build the metrics of all protocols.

    Args:
        classes (Sequence[str]): Names of the classes, background first.
        sample_ids (Sequence[str]): Names of the frames that are scored.
        sizes (Sequence[Sizes]): Sizes at which to score.
        padded (bool): Whether the clips have subsets that published codes
            pad to ten frames, as those of AVSS have.

    Returns:
        list[Variant]: Those at the first size first.
    """
    lengths = set(Counter(clip_of(name) for name in sample_ids).values())
    per_video = FRAMES_PER_VIDEO if lengths == {FRAMES_PER_VIDEO} else None
    several = len(classes) > 2
    variants = []
    for size, whole in sizes:
        variants += [
            Variant(DatasetIoUFMetric(size=whole)),
            Variant(AVSSLegacyMetric(size=size)),
        ]
        if padded:
            variants.append(
                Variant(AVSSLegacyMetric(size=size, include_padded=True))
            )
        jf = StoredMaskJFMetric(
            size=size,
            frames_per_video=per_video,
            prefix='avsbench_foreground' if several else None,
        )
        variants.append(Variant(jf, foreground=several))
    for variant in variants:
        variant.metric.dataset_meta = {'classes': tuple(classes)}
    return variants


def sample_of(
    variant: Variant,
    labels: np.ndarray,
    prediction: np.ndarray,
    probability: np.ndarray,
    info: dict,
) -> dict:
    """Put a frame in the form that a metric takes.

    Args:
        variant (Variant): Protocol.
        labels (np.ndarray): Labeled classes, int64, shape (H, W).
        prediction (np.ndarray): Predicted classes, likewise.
        probability (np.ndarray): Probability that a pixel sounds, float32,
            likewise.
        info (dict): ``sample_id``, ``label_shape`` and what else the dataset
            tells of the frame.

    Returns:
        dict: Data sample. The protocol of AVSBench knows no pixels to
        ignore: they are background in label and prediction.
    """
    if isinstance(variant.metric, AVSBenchJFMetric):
        counts = labels != IGNORED
        labels = (labels > 0) & counts
        prediction = (prediction > 0) & counts
        probability = np.where(counts, probability, np.float32(0))
        labels, prediction = labels.astype(int), prediction.astype(int)
    return {
        **info,
        'gt_sem_seg': {'data': torch.from_numpy(labels)},
        'pred_sem_seg': {'data': torch.from_numpy(prediction)},
        'probability': probability,
    }


def padded_subsets(subset: str | None) -> bool:
    """Tell whether clips of a subset are padded by published codes.

    Args:
        subset (str, optional): Name that the dataset gives.

    Returns:
        bool: True for v1s, v1m and v2 of AVSS.
    """
    return subset in PADDED_FRAMES


def explain(variant: Variant) -> dict[str, str]:
    """Tell what a protocol counts.

    Args:
        variant (Variant): Protocol.

    Returns:
        dict[str, str]: ``counts``, ``absent classes``, ``background`` and
        ``threshold``, in words.
    """
    metric = variant.metric
    if isinstance(metric, AVSBenchJFMetric):
        return {
            'counts': 'IoU of each frame, F of each clip',
            'absent classes': 'empty frames in J only',
            'background': 'no',
            'threshold': '0.5 in J, 255 in F',
        }
    if isinstance(metric, AVSSLegacyMetric):
        padding = ', padded ones too' if metric.include_padded else ''
        return {
            'counts': f'classes of each frame{padding}',
            'absent classes': '0',
            'background': 'as a class',
            'threshold': 'argmax',
        }
    return {
        'counts': 'pixels of all frames',
        'absent classes': '0 in mIoU, not in F',
        'background': 'as a class',
        'threshold': 'argmax',
    }
