"""Class-conditional prompts: queries that stand for a known class.

CPM, Section 3.2.1: a prompt is a sample of the class's distribution in the
space of the query embeddings, fed back as a query.
"""

import math
from collections.abc import Iterable, Sequence

import torch
import torch.nn as nn
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ...structures.audio_labels import (
    IGNORE_INDEX,
    foreground_classes,
    get_audio_labels,
)
from ..utils.transfers import few_numbers

SOURCES = ('gmm', 'mean', 'table')


def classes_to_prompt(
    source: str,
    data_samples: Sequence[SegDataSample],
    crop_classes: Sequence[Iterable[int]],
    num_classes: int,
    ignore_index: int = IGNORE_INDEX,
) -> list[list[int]]:
    """Choose the classes to prompt.

    Args:
        source (str): 'full': classes that sound in the whole frame; 'crop':
            those that are left in the crop.
        data_samples (Sequence[SegDataSample]): With ``audio_labels``, the
            classes of the whole frame.
        crop_classes (Sequence[Iterable[int]]): Classes of the crops.
        num_classes (int): Classes with the background.
        ignore_index (int): Label that is no class.

    Returns:
        list[list[int]]: Class ids, per image.
    """
    if source == 'full':
        return get_audio_labels(data_samples, num_classes, ignore_index)
    return [
        list(foreground_classes(found, ignore_index)) for found in crop_classes
    ]


def pad_classes(classes: list[list[int]], device: torch.device) -> Tensor:
    """Bring the classes of a batch to one tensor.

    Args:
        classes (list[list[int]]): Class ids, per image.
        device (torch.device): Device of the result.

    Returns:
        Tensor: ``[B, K]`` int64, -1 for padding. K is the most classes of an
        image, at least 1.
    """
    width = max(1, *(len(image) for image in classes))
    padded = [
        label
        for image in classes
        for label in image + [-1] * (width - len(image))
    ]
    return few_numbers(padded, device).view(len(classes), width)


@MODELS.register_module()
class ClassPrompts(BaseModule):
    """Makes one query per class to be prompted.

    Args:
        num_classes (int): Classes with the background.
        embed_dims (int): Size of a query.
        source (str): 'gmm' samples the mixtures; 'mean' takes the mean of a
            random component (no noise); 'table' learns one vector per class
            (the "point representation" of the paper's Table 5).
        max_prompts (int): Prompts per image. Of more classes a random
            choice is prompted.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        embed_dims: int,
        source: str = 'gmm',
        max_prompts: int = 8,
    ) -> None:
        super().__init__()
        if source not in SOURCES:
            raise ValueError(
                f'source must be one of {SOURCES}, but got {source!r}.'
            )
        if max_prompts < 1:
            raise ValueError(
                f'max_prompts must be positive, but got {max_prompts}.'
            )
        self.num_classes = num_classes
        self.embed_dims = embed_dims
        self.source = source
        self.max_prompts = max_prompts
        # A prompt has no slot among the learned queries, hence no position of
        # its own: all share one.
        self.position = nn.Parameter(torch.randn(embed_dims))
        self.projection = nn.Linear(embed_dims, embed_dims)
        if source == 'table':
            self.table = nn.Embedding(num_classes, embed_dims)

    def init_weights(self) -> None:
        """Start with prompts as they are sampled."""
        nn.init.eye_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)

    def choose(self, classes: list[list[int]]) -> list[list[int]]:
        """Refuse what is no class, and leave out what is too much.

        Args:
            classes (list[list[int]]): Classes to prompt, per image.

        Returns:
            list[list[int]]: At most ``max_prompts`` of each image.

        Raises:
            ValueError: If a class is outside 0..num_classes - 1.
        """
        chosen = []
        for image in classes:
            wrong = [k for k in image if not 0 <= k < self.num_classes]
            if wrong:
                raise ValueError(
                    f'Classes to prompt must lie in 0..{self.num_classes - 1}'
                    f', but got {wrong}: do the labels and num_classes agree?'
                )
            if len(image) > self.max_prompts:
                order = torch.randperm(len(image))[: self.max_prompts]
                image = [image[i] for i in sorted(order.tolist())]
            chosen.append(list(image))
        return chosen

    def ready(self, labels: Tensor, classifier: nn.Module) -> Tensor:
        """Tell which prompts are of a known class.

        Args:
            labels (Tensor): Padded classes, ``[B, K]``.
            classifier (nn.Module): The GMMClassifier, for its samples.

        Returns:
            Tensor: ``[B, K]`` bool.
        """
        if self.source == 'table':
            return labels >= 0
        return classifier.ready(labels)

    def forward(
        self, labels: Tensor, classifier: nn.Module
    ) -> tuple[Tensor, Tensor]:
        """Make the prompts.

        Args:
            labels (Tensor): Padded classes, ``[B, K]``.
            classifier (nn.Module): The GMMClassifier to sample.

        Returns:
            tuple[Tensor, Tensor]: Queries and their positions,
            ``[B, K, D]`` each.
        """
        if self.source == 'table':
            drawn = self.table(labels.clamp(min=0))
        else:
            drawn = classifier.sample(labels, noise=self.source == 'gmm')
            # Samples have unit length, decoder states that of a layer norm.
            drawn = drawn * math.sqrt(self.embed_dims)
        return self.projection(drawn), self.position.expand_as(drawn)
