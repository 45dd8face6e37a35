"""Audio-visual matching: what is segmented is to look as it sounds.

TPAVI's regularization (ECCV 2022, Section 3.4): at every level of the
decoder, the visual features under the predicted mask, averaged over the frame,
are drawn to the features of the sound.
"""

from collections.abc import Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor

MEASURES = ('kl', 'euclidean', 'cosine')
MASKS = ('soft', 'probability', 'hard')
PARTNERS = ('sound', 'nearest')
REDUCTIONS = ('sum', 'mean')
POOLINGS = {'avg': F.adaptive_avg_pool2d, 'max': F.adaptive_max_pool2d}
EPS = 1e-6


def masked_mean(
    feature_map: Tensor, mask: Tensor, divide_by_mask: bool = False
) -> Tensor:
    """Average features over a frame, those outside of a mask being zero.

    Args:
        feature_map (Tensor): ``[B, C, h, w]``.
        mask (Tensor): Weights in 0..1, ``[B, 1, h, w]``.
        divide_by_mask (bool): Whether the sum is divided by the sum of the
            mask in place of the number of pixels.

    Returns:
        Tensor: ``[B, C]``.
    """
    masked = feature_map * mask
    if divide_by_mask:
        return masked.sum((2, 3)) / (mask.sum((2, 3)) + EPS)
    return masked.mean((2, 3))


def distance_terms(target: Tensor, visual: Tensor, measure: str) -> Tensor:
    """Distance of the visual features of every frame from a target.

    Args:
        target (Tensor): ``[B, C]``.
        visual (Tensor): ``[B, C]``.
        measure (str): 'kl', the divergence of their softmax over the
            channels, 'euclidean', or 'cosine', its negative logarithm.

    Returns:
        Tensor: Terms whose sum is the distance, ``[B, C]`` or ``[B, 1]``.
    """
    if measure == 'kl':
        # The logarithm of the rounded softmax, of both: of features of length
        # 1, log_softmax would give a difference of 1e-4.
        probability = visual.softmax(-1)
        tiny = torch.finfo(probability.dtype).tiny
        return F.kl_div(
            probability.clamp(min=tiny).log(),
            target.softmax(-1),
            reduction='none',
        )
    if measure == 'euclidean':
        return F.pairwise_distance(target, visual, eps=EPS, keepdim=True)
    cosine = F.cosine_similarity(target, visual)
    return -(cosine.relu() + EPS).log()[:, None]


def nearest_sound(audio: Tensor) -> Tensor:
    """Find for every frame the other one whose sound is most alike.

    Args:
        audio (Tensor): ``[B, C]`` with B > 1.

    Returns:
        Tensor: Its index, ``[B]`` int64.
    """
    distances = torch.cdist(audio, audio)
    distances.fill_diagonal_(torch.inf)
    return distances.argmin(0)


@MODELS.register_module()
class AudioVisualMatchingLoss(nn.Module):
    """Distance of masked visual features from what they are to match.

    The defaults are those of AVSBench's program for AVSS. For MS3 it takes
    ``mask='soft', reduction='sum'``, for S4 no matching.

    Args:
        mask (str): 'soft': sigmoid of the mean logit of the pixels of a cell;
            'probability': mean of their sigmoids (both of one logit); 'hard':
            share of pixels whose class is not the background, which is not
            trained.
        partner (str): 'sound': the features are compared with those of the
            sound (the paper's AVM-AV); 'nearest': with the visual ones of
            the frame of the batch that sounds most alike (AVM-VV).
        measure (str): 'kl', 'euclidean' or 'cosine', see
            :func:`distance_terms`.
        reduction (str): 'mean' over frames, or 'sum', which grows with the
            batch. Levels are averaged.
        normalize (bool): Whether features are brought to length 1 before.
        threshold (bool): Whether the mask is 1 above 0.5 and 0 below, and the
            mean one over the mask in place of the frame.
        pooling (str): How predictions get the size of a level: 'avg', 'max'.
        loss_weight (float): Weight.
    """

    def __init__(
        self,
        mask: str = 'hard',
        partner: str = 'sound',
        measure: str = 'kl',
        reduction: str = 'mean',
        normalize: bool = False,
        threshold: bool = False,
        pooling: str = 'avg',
        loss_weight: float = 0.5,
    ) -> None:
        super().__init__()
        for name, value, known in (
            ('mask', mask, MASKS),
            ('partner', partner, PARTNERS),
            ('measure', measure, MEASURES),
            ('reduction', reduction, REDUCTIONS),
            ('pooling', pooling, tuple(POOLINGS)),
        ):
            if value not in known:
                raise ValueError(
                    f'{name} must be one of {known}, but got {value!r}.'
                )
        self.mask = mask
        self.partner = partner
        self.measure = measure
        self.reduction = reduction
        self.normalize = normalize
        self.threshold = threshold
        self.pooling = pooling
        self.loss_weight = loss_weight

    def forward(
        self,
        logits: Tensor,
        visual_maps: Sequence[Tensor],
        audio_features: Sequence[Tensor],
    ) -> Tensor:
        """Compare the frames of a batch.

        Args:
            logits (Tensor): Predictions ``[B, classes, H, W]``; one class
                unless the mask is hard.
            visual_maps (Sequence[Tensor]): Levels, each ``[B, C, h, w]``.
            audio_features (Sequence[Tensor]): Of the same levels, ``[B, C]``.

        Returns:
            Tensor: The loss; zero if there are no frames or, for the
            nearest, no other.
        """
        if len(logits) <= (self.partner == 'nearest'):
            parts = (logits, *visual_maps, *audio_features)
            return sum(part.sum() * 0 for part in parts)
        levels = zip(visual_maps, audio_features, strict=True)
        terms = [self.level_terms(logits, *level) for level in levels]
        if self.reduction == 'sum':
            values = [level.sum() for level in terms]
        else:
            values = [level.sum(1).mean() for level in terms]
        return self.loss_weight * sum(values) / len(values)

    def level_terms(
        self, logits: Tensor, visual_map: Tensor, audio: Tensor
    ) -> Tensor:
        """Distances of the frames at one level.

        Args:
            logits (Tensor): See :meth:`forward`.
            visual_map (Tensor): ``[B, C, h, w]``.
            audio (Tensor): ``[B, C]``.

        Returns:
            Tensor: See :func:`distance_terms`.
        """
        visual = masked_mean(
            visual_map,
            self._pool_mask(logits, tuple(visual_map.shape[-2:])),
            self.threshold,
        )
        if self.normalize:
            visual, audio = F.normalize(visual), F.normalize(audio)
        if self.partner == 'nearest':
            audio = visual[nearest_sound(audio)]
        return distance_terms(audio, visual, self.measure)

    def _pool_mask(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Mask of the size of a level, ``[B, 1, h, w]``."""
        pool = POOLINGS[self.pooling]
        if self.mask == 'hard':
            classes = logits.argmax(1, keepdim=True)
            mask = pool((classes != 0).to(logits.dtype), size)
        elif self.mask == 'probability':
            mask = pool(logits.sigmoid(), size)
        else:
            mask = pool(logits, size).sigmoid()
        return (mask > 0.5).to(mask.dtype) if self.threshold else mask
