"""COMBO's inter-frame loss: masks of adjacent frames shall be alike."""

import torch
import torch.nn as nn
from mmseg.registry import MODELS
from torch import Tensor

# Norms below count as this one, as in PyTorch's cosine_similarity.
EPS = 1e-8


def adjacent_frames(valid: Tensor) -> Tensor:
    """Find the pairs of adjacent frames of which none is padding.

    Args:
        valid (Tensor): ``[clips, T]`` bool.

    Returns:
        Tensor: ``[clips, T - 1]`` bool.
    """
    return valid[:, :-1] & valid[:, 1:]


def adjacent_similarity(
    mask_embedding: Tensor, mask_feature: Tensor
) -> Tensor:
    """Cosine similarity of all mask logits of adjacent frames.

    The logits of a frame, N masks of P pixels, are one vector. They are never
    made: with logits ``E F``, the product of two frames is
    ``sum((E_t F_t F_u^T) * E_u)``, and the products of the features serve all
    predictions.

    Args:
        mask_embedding (Tensor): ``[L, clips, T, N, C]`` float32.
        mask_feature (Tensor): ``[clips, T, C, P]`` float32.

    Returns:
        Tensor: ``[L, clips, T - 1]``.
    """

    def product(first: Tensor, second: Tensor, gram: Tensor) -> Tensor:
        return ((first @ gram) * second).sum((-1, -2), dtype=torch.float64)

    before, after = mask_feature[:, :-1], mask_feature[:, 1:]
    dot = product(
        mask_embedding[:, :, :-1],
        mask_embedding[:, :, 1:],
        before @ after.mT,
    )
    square = product(
        mask_embedding, mask_embedding, mask_feature @ mask_feature.mT
    )
    # Rounding may leave less than nothing of the square of an empty mask.
    norm = square.clamp(min=EPS**2).sqrt()
    return (dot / (norm[:, :, :-1] * norm[:, :, 1:])).to(mask_feature.dtype)


@MODELS.register_module()
class InterFrameLoss(nn.Module):
    """Distance of the masks of adjacent frames, less where it is large.

    A distance d = 1 - cosine counts ``d exp(-d)``: pairs of frames that
    differ much, such as across a cut, are not forced together.

    Args:
        loss_weight (float): Weight.
    """

    def __init__(self, *, loss_weight: float = 10.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(
        self,
        mask_embedding: Tensor,
        mask_feature: Tensor,
        clip_length: int,
        valid: Tensor | None = None,
    ) -> Tensor:
        """Compare the masks of each frame with those of the next.

        Args:
            mask_embedding (Tensor): Embeddings of L predictions,
                ``[L, B, N, C]``.
            mask_feature (Tensor): ``[B, C, h, w]``.
            clip_length (int): Frames per clip, T; B = clips * T.
            valid (Tensor, optional): ``[B]`` bool, False for padding. None:
                all frames are real.

        Returns:
            Tensor: Mean over all pairs, ``[L]``; 0 where there is none.
        """
        clips = (-1, clip_length)
        if valid is None:
            valid = mask_feature.new_ones(len(mask_feature), dtype=torch.bool)
        pairs = adjacent_frames(valid.unflatten(0, clips))
        with torch.autocast(mask_feature.device.type, enabled=False):
            similarity = adjacent_similarity(
                mask_embedding.float().unflatten(1, clips),
                mask_feature.float().flatten(2).unflatten(0, clips),
            )
        distance = 1 - similarity
        terms = (distance * (-distance).exp())[:, pairs]
        return self.loss_weight * terms.sum(1) / pairs.sum().clamp(min=1)
