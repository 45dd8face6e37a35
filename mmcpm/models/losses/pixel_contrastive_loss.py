"""CAVP's contrastive loss between pixels under matching and other sounds.

Pixels of an object that sounds attract each other; the same pixels under the
sound of something else belong to the background.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor

from ..utils.full_precision import full_precision
from ..utils.transfers import to_host

# Logarithms of nothing stay finite, and so do their gradients.
FLOOR = -1e4


def supervised_info_nce(
    features: Tensor, labels: Tensor, temperature: float
) -> Tensor:
    """Contrast samples with each other.

    A sample's positives are the others of its label, its negatives those of
    other labels; of the positives, only the one that is compared stands in
    the denominator. Samples without positives count as 0.

    Args:
        features (Tensor): Unit vectors, ``[N, C]``.
        labels (Tensor): ``[N]`` int64.
        temperature (float): tau.

    Returns:
        Tensor: Scalar, averaged over the N samples.
    """
    similarity = features @ features.T / temperature  # [N, N]
    same = labels[:, None] == labels
    positive = same.clone().fill_diagonal_(False)
    negatives = similarity.masked_fill(same, FLOOR).logsumexp(1, keepdim=True)
    # -log(exp(s) / (exp(s) + sum of the negatives' exp))
    terms = F.softplus(negatives - similarity) * positive
    return (terms.sum(1) / positive.sum(1).clamp(min=1)).mean()


def draw(mask: Tensor, count: int, random: Tensor) -> Tensor:
    """Draw pixels of a mask without replacement.

    Args:
        mask (Tensor): ``[P]`` bool, at least ``count`` of it True.
        count (int): Number of pixels.
        random (Tensor): Numbers in 0..1, ``[P]``; the pixels with the
            smallest are drawn.

    Returns:
        Tensor: Pixel indices, ``[count]`` int64.
    """
    random = random.masked_fill(~mask, 2.0)
    return random.topk(count, largest=False, sorted=False).indices


def sample_pixels_and_labels(
    matched: Tensor,
    shuffled: Tensor,
    labels: Tensor,
    shuffled_labels: Tensor,
    max_views: int,
    ignore_index: int = 255,
    random: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Choose what is contrasted.

    Of every foreground class ``max_views`` pixels under the matching sounds
    (classes with fewer in the whole batch are left out, as CAVP does), as
    many of the background, and as many foreground pixels under the shuffled
    sounds with the label that they have there.

    Args:
        matched (Tensor): Features under the matching sounds, ``[P, C]``.
        shuffled (Tensor): Features under the shuffled sounds, ``[P, C]``.
        labels (Tensor): Labels of the pixels, ``[P]`` int64.
        shuffled_labels (Tensor): Labels under the shuffled sounds, ``[P]``.
        max_views (int): Pixels per class.
        ignore_index (int): Label to leave out.
        random (Tensor, optional): See :func:`draw`. Random if None.

    Returns:
        tuple[Tensor, Tensor]: Features ``[N, C]`` and labels ``[N]``.
    """
    if random is None:
        random = torch.rand(len(labels), device=labels.device)
    background = labels == 0
    foreground = (labels > 0) & (labels < 256) & (labels != ignore_index)
    # The only thing that the host has to wait for.
    counts = to_host(torch.bincount(labels.clamp(0, 256), minlength=257))
    classes = [k for k in range(1, 256) if k != ignore_index]
    index = [
        draw(labels == k, max_views, random)
        for k in classes
        if counts[k] >= max_views
    ]
    number = min(int(counts[0]), max_views)
    index = torch.cat([*index, draw(background, number, random)])
    number = min(int(counts[classes].sum()), max_views)
    other = draw(foreground, number, random)
    return (
        torch.cat([matched[index], shuffled[other]]),
        torch.cat([labels[index], shuffled_labels[other]]),
    )


@MODELS.register_module()
class PixelContrastiveLoss(nn.Module):
    """Supervised contrastive loss of fused pixels (CAVP).

    Args:
        temperature (float): tau.
        max_views (int): Pixels of each class in the batch.
        loss_weight (float): Factor.
    """

    def __init__(
        self,
        *,
        temperature: float = 0.1,
        max_views: int = 512,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if temperature <= 0 or max_views < 1:
            raise ValueError(
                'temperature and max_views must be positive, but got '
                f'{temperature} and {max_views}.'
            )
        self.temperature = temperature
        self.max_views = max_views
        self.loss_weight = loss_weight

    def forward(
        self,
        matched: Tensor,
        shuffled: Tensor,
        labels: Tensor,
        shuffled_labels: Tensor,
        ignore_index: int = 255,
        random: Tensor | None = None,
    ) -> Tensor:
        """Contrast the pixels of a batch.

        Args:
            matched (Tensor): Fused maps of images and their own sounds,
                ``[B, C, h, w]``.
            shuffled (Tensor): The same images with shuffled sounds.
            labels (Tensor): Label maps, ``[B, H, W]`` int64.
            shuffled_labels (Tensor): Label maps under the shuffled sounds:
                background where the sound does not match.
            ignore_index (int): Label to leave out.
            random (Tensor, optional): See :func:`sample_pixels_and_labels`,
                ``[B * h * w]``.

        Returns:
            Tensor: Scalar; 0, with a gradient of 0, if nothing is labeled.
        """
        size = matched.shape[-2:]
        small, other = (
            F.interpolate(x[:, None].float(), size, mode='nearest')
            .long()
            .flatten()
            for x in (labels, shuffled_labels)
        )
        features, classes = sample_pixels_and_labels(
            matched.flatten(2).transpose(1, 2).flatten(0, 1),
            shuffled.flatten(2).transpose(1, 2).flatten(0, 1),
            small,
            other,
            self.max_views,
            ignore_index,
            random,
        )
        if not len(features):
            return 0.0 * (matched.sum() + shuffled.sum())
        with full_precision(features.device.type):
            return self.loss_weight * supervised_info_nce(
                F.normalize(features.float(), dim=1), classes, self.temperature
            )
