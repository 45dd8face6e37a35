"""PCL: the sound of a class attracts its pixels (CPM, equations (7)-(9)).

Anchors are audio features pooled under the prompts' audio masks; positives
and negatives are pixels of the batch. Pixels are sampled before they are
projected, so that the cost does not depend on the size of the maps.
"""

from collections.abc import Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor

from ..utils.transfers import few_numbers

POOLINGS = ('avg', 'max')


def masked_pooling(
    features: Tensor, mask_logits: Tensor, pooling: str = 'avg'
) -> tuple[Tensor, Tensor]:
    """Pool a map where a saliency is above its own mean, equation (7).

    Args:
        features (Tensor): ``[B, C, t, f]``.
        mask_logits (Tensor): ``[B, K, t, f]``; the threshold has no
            gradient.
        pooling (str): 'avg' or 'max'.

    Returns:
        tuple[Tensor, Tensor]: Pooled features ``[B, K, C]``, and ``[B, K]``
        bool, False where the saliency is constant and selects nothing.
    """
    saliency = mask_logits.detach().float().sigmoid().flatten(2)
    selected = saliency > saliency.mean(-1, keepdim=True)  # [B, K, t * f]
    # Equal numbers may differ by a rounding after the sigmoid, and their
    # mean may be rounded below them.
    found = selected.any(-1)
    for values in (saliency, mask_logits.detach().flatten(2)):
        found = found & (values.amax(-1) > values.amin(-1))
    selected = selected & found[..., None]
    flat = features.flatten(2)  # [B, C, t * f]
    if pooling == 'max':
        # One class at a time keeps the memory at one map.
        pooled = torch.stack(
            [
                flat.masked_fill(~one[:, None], -torch.inf).amax(-1)
                for one in selected.unbind(1)
            ],
            1,
        )
        return pooled.masked_fill(~found[..., None], 0.0), found
    # Shares, not counts: in float16 a sum over the map would overflow.
    share = selected / selected.sum(-1, keepdim=True).clamp(min=1)
    return share.to(flat) @ flat.mT, found


def sample_pixels(
    labels: Tensor, num_classes: int, per_class: int
) -> tuple[Tensor, Tensor]:
    """Draw up to so many random pixels of every class.

    Args:
        labels (Tensor): Class ids of all pixels of the batch, ``[P]``;
            ids of ``num_classes`` or more are ignored.
        num_classes (int): Classes with the background.
        per_class (int): Pixels per class.

    Returns:
        tuple[Tensor, Tensor]: Pixel indices and their class ids,
        ``[num_classes * per_class]`` int64; the class is -1 where a class
        has fewer pixels.
    """
    # Sorting by (class, random number) puts each class's sample first.
    labels = labels.clamp(max=num_classes)
    key = labels.double() + torch.rand(
        len(labels), device=labels.device, dtype=torch.float64
    )
    order = key.argsort()
    counts = torch.zeros(
        num_classes + 1, dtype=torch.int64, device=labels.device
    )
    counts.scatter_add_(0, labels, torch.ones_like(labels))
    start = counts.cumsum(0) - counts  # [num_classes + 1]
    place = torch.arange(per_class, device=labels.device)
    index = start[:-1, None] + place  # [num_classes, per_class]
    exists = place < counts[:-1, None]
    classes = torch.arange(num_classes, device=labels.device)[:, None]
    classes = classes.expand_as(exists).masked_fill(~exists, -1)
    index = order[index.clamp(max=len(order) - 1)]
    return index.flatten(), classes.flatten()


def prompt_contrastive_loss(
    anchors: Tensor,
    anchor_classes: Tensor,
    pixels: Tensor,
    pixel_classes: Tensor,
    temperature: float,
) -> Tensor:
    """Supervised InfoNCE between anchors and pixels, equation (9).

    Args:
        anchors (Tensor): Unit vectors, ``[A, C]``.
        anchor_classes (Tensor): ``[A]`` int64, -1 for anchors to leave out.
        pixels (Tensor): Unit vectors, ``[P, C]``.
        pixel_classes (Tensor): ``[P]`` int64, -1 for pixels to leave out.
        temperature (float): tau.

    Returns:
        Tensor: Scalar, averaged over the anchors that have a positive; 0,
        with a gradient of 0, if there is none.
    """
    similarity = anchors @ pixels.T / temperature  # [A, P]
    exists = (pixel_classes >= 0)[None]
    positive = (anchor_classes[:, None] == pixel_classes[None]) & exists
    negative = ~positive & exists
    # Without a negative the term is 0; a large negative number keeps the
    # gradient finite where -inf would not.
    negatives = similarity.masked_fill(~negative, -1e4).logsumexp(1)
    term = F.softplus(negatives[:, None] - similarity) * positive
    count = positive.sum(1)
    loss = term.sum(1) / count.clamp(min=1)
    used = ((count > 0) & (anchor_classes >= 0)).to(loss)
    return (loss * used).sum() / used.sum().clamp(min=1.0)


@MODELS.register_module()
class PromptContrastiveLoss(nn.Module):
    """Prompting-based contrastive learning, equations (7) to (9).

    Args:
        embed_dims (int): Channels of audio and image maps.
        temperature (float): tau.
        pooling (str): 'avg' (the paper) or 'max' (its supplement).
        samples_per_class (int): Pixels of each class in the batch.
        loss_weight (float): Factor.
    """

    def __init__(
        self,
        *,
        embed_dims: int,
        temperature: float = 0.1,
        pooling: str = 'avg',
        samples_per_class: int = 512,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(
                f'pooling must be one of {POOLINGS}, but got {pooling!r}.'
            )
        if temperature <= 0:
            raise ValueError(
                f'temperature must be positive, but got {temperature}.'
            )
        self.temperature = temperature
        self.pooling = pooling
        self.samples_per_class = samples_per_class
        self.loss_weight = loss_weight
        # Into the unified space.
        self.audio_projection = nn.Linear(embed_dims, embed_dims)
        self.image_projection = nn.Linear(embed_dims, embed_dims)

    def forward(
        self,
        audio: Tensor,
        mask_logits: Tensor,
        classes: Tensor,
        image: Tensor,
        labels: Tensor,
        present: Sequence[int],
    ) -> Tensor:
        """Contrast the audio features of prompts with pixels.

        Args:
            audio (Tensor): Audio map, ``[B, C, t, f]``.
            mask_logits (Tensor): Audio mask logits, ``[B, K, t, f]``.
            classes (Tensor): Class of each prompt, ``[B, K]`` int64, -1 for
                prompts to leave out.
            image (Tensor): Image map, ``[B, C, h, w]``.
            labels (Tensor): Label maps, ``[B, H, W]`` int64.
            present (Sequence[int]): Classes with the background that occur
                in the label maps; pixels of others are ignored. The fewer
                there are, the less it costs.

        Returns:
            Tensor: Scalar.
        """
        anchors, found = masked_pooling(audio, mask_logits, self.pooling)
        small = F.interpolate(
            labels[:, None].float(), size=image.shape[-2:], mode='nearest'
        ).long()
        ids = few_numbers(present, labels.device)
        rank_of = ids.new_full((257,), len(ids))
        rank_of[ids] = torch.arange(len(ids), device=ids.device)
        index, rank = sample_pixels(
            rank_of[small.clamp(max=256)].flatten(),
            len(ids),
            self.samples_per_class,
        )
        # One more id, for pixels that a class has not got.
        pixel_classes = F.pad(ids, (0, 1), value=-1)[rank]
        flat = image.flatten(2)  # [B, C, h * w]
        area = flat.shape[-1]
        pixels = flat[index // area, :, index % area]  # [P, C]
        anchors = self.audio_projection(anchors.flatten(0, 1))
        pixels = self.image_projection(pixels)
        with torch.autocast(audio.device.type, enabled=False):
            return self.loss_weight * prompt_contrastive_loss(
                F.normalize(anchors.float(), dim=-1),
                classes.masked_fill(~found, -1).flatten(),
                F.normalize(pixels.float(), dim=-1),
                pixel_classes,
                self.temperature,
            )
