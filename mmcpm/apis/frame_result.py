"""What an inferencer tells of a frame."""

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from mmseg.structures import SegDataSample
from torch import Tensor

from mmcpm.models.utils.original_size import restore_original
from mmcpm.structures.audio_labels import BACKGROUND


@dataclass(frozen=True)
class ClassScore:
    """A class that sounds in a frame.

    Attributes:
        class_id (int): Number of the class.
        name (str): Name of the class.
        score (float): Mean, over the pixels of the class, of its share of
            the scores of all classes, 0 to 1.
        area (float): Share of the pixels of the frame, 0 to 1.
    """

    class_id: int
    name: str
    score: float
    area: float


@dataclass(frozen=True)
class QueryMask:
    """Mask of a query that stands for an object.

    Attributes:
        query (int): Number of the query.
        class_id (int): Its class.
        name (str): Name of the class.
        score (float): Probability of the class, 0 to 1.
        mask (np.ndarray): Probability of each pixel, float16, shape (H, W).
    """

    query: int
    class_id: int
    name: str
    score: float
    mask: np.ndarray


@dataclass
class FrameResult:
    """Prediction for a frame.

    Attributes:
        index (int): Number of the frame in its video or folder.
        time (float): When it is shown, seconds.
        sample_id (str): Name of the frame.
        sem_seg (np.ndarray): Class of each pixel, uint8 (uint16 for more
            than 256 classes), shape (H, W).
        classes (list[ClassScore]): What sounds, the largest first.
        queries (list[QueryMask], optional): If they were asked for.
        data_sample (SegDataSample, optional): All that the model predicts,
            if it was asked for.
        visualization (np.ndarray, optional): Picture, RGB, if it was asked
            for.
    """

    index: int
    time: float
    sample_id: str
    sem_seg: np.ndarray
    classes: list[ClassScore] = field(default_factory=list)
    queries: list[QueryMask] | None = None
    data_sample: SegDataSample | None = None
    visualization: np.ndarray | None = None

    def to_dict(self) -> dict:
        """Describe the frame in types that JSON has, without the masks.

        Returns:
            dict: ``index``, ``time``, ``sample_id`` and ``classes``.
        """
        found = {
            'index': self.index,
            'time': round(self.time, 6),
            'sample_id': self.sample_id,
            'classes': [describe(one) for one in self.classes],
        }
        if self.queries is not None:
            found['queries'] = [
                {'query': one.query, **describe(one)} for one in self.queries
            ]
        return found

    def to_arrays(self) -> dict:
        """Describe the frame, with its masks.

        Returns:
            dict: As :meth:`to_dict`, with ``sem_seg``, and ``queries`` as a
            list of QueryMask.
        """
        found = {**self.to_dict(), 'sem_seg': self.sem_seg}
        if self.queries is not None:
            found['queries'] = self.queries
        return found


def describe(found: ClassScore | QueryMask) -> dict:
    """Describe a class of a frame in types that JSON has."""
    told = {
        'id': found.class_id,
        'name': found.name,
        'score': round(found.score, 4),
    }
    if isinstance(found, ClassScore):
        told['area'] = round(found.area, 6)
    return told


def score_classes(
    scores: Tensor, labels: Tensor, classes: tuple[str, ...]
) -> list[ClassScore]:
    """Tell which classes a frame shows, and how sure that is.

    Args:
        scores (Tensor): Scores of the classes, shape (classes, H, W): sums
            of probabilities, or logits, which may be negative.
        labels (Tensor): Class of each pixel, int64, shape (H, W).
        classes (tuple[str, ...]): Names.

    Returns:
        list[ClassScore]: Without background, the largest first.
    """
    best = scores.max(0).values.float()
    if scores.min() < 0:
        share = 1 / (scores.float() - best).exp().sum(0)
    else:
        share = best / scores.float().sum(0).clamp(min=1e-12)
    labels, number = labels.flatten(), len(classes)
    counts = torch.bincount(labels, minlength=number).tolist()
    sums = torch.bincount(labels, share.flatten(), minlength=number).tolist()
    found = [
        ClassScore(
            k, classes[k], sums[k] / counts[k], counts[k] / labels.numel()
        )
        for k in range(number)
        if counts[k] and k != BACKGROUND
    ]
    return sorted(found, key=lambda one: -one.area)


def query_masks(
    data_sample: SegDataSample,
    input_size: tuple[int, int],
    classes: tuple[str, ...],
) -> list[QueryMask]:
    """Bring the masks of the queries to the size of the frame.

    Args:
        data_sample (SegDataSample): With ``query_masks``, ``query_scores``
            and ``query_classes``, see AVPrediction.
        input_size (tuple[int, int]): Height and width of the model's input
            before it is padded.
        classes (tuple[str, ...]): Names.

    Returns:
        list[QueryMask]: Of the queries that are an object, the surest
        first.
    """
    kinds = data_sample.query_classes
    chosen = ((kinds < len(classes)) & (kinds != BACKGROUND)).nonzero()[:, 0]
    if not len(chosen):
        return []
    meta = data_sample.metainfo
    left, right, top, bottom = meta.get(
        'img_padding_size', meta.get('padding_size', (0, 0, 0, 0))
    )
    masks = F.interpolate(
        data_sample.query_masks[chosen].float()[None],
        size=(input_size[0] + top + bottom, input_size[1] + left + right),
        mode='bilinear',
        align_corners=False,
    )[0]
    masks = restore_original(masks.sigmoid(), meta)
    masks = masks.half().cpu().numpy()
    found = [
        QueryMask(
            query,
            int(kinds[query]),
            classes[int(kinds[query])],
            float(data_sample.query_scores[query]),
            mask,
        )
        for query, mask in zip(chosen.tolist(), masks, strict=True)
    ]
    return sorted(found, key=lambda one: -one.score)
