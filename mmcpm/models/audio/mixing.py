"""Mixtures of a sound with one from off the screen (CPM, Section 3.2.2)."""

from typing import NamedTuple

import torch
from torch import Tensor


class MixedAudio(NamedTuple):
    """A batch of sounds and of mixtures with something off the screen."""

    # Features of the mixtures, coarse to fine, [B, C, t, f].
    levels: list[Tensor]
    # Share of the clean sound in the mixture, [B, T, F] in 0..1.
    ratio: Tensor
    # Whether a sound was mixed in, [B] bool.
    mixed: Tensor
    # Linear magnitude of the mixtures, [B, channels, T, F].
    magnitude: Tensor | None = None


def choose_partners(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Choose whose sound is mixed into each sample's.

    A partner with a class in common would make the target contradictory: its
    sound is part of what the prompts are to recover.

    Args:
        labels (Tensor): Sounding classes of the samples, ``[B, classes]``
            bool.

    Returns:
        tuple[Tensor, Tensor]: Index of a random sample of the batch without
        a class in common, ``[B]`` int64, and ``[B]`` bool, False where there
        is none.
    """
    shared = labels.float() @ labels.float().T > 0  # [B, B]
    shared = shared | torch.eye(
        len(labels), dtype=torch.bool, device=labels.device
    )
    score = torch.rand(shared.shape, device=labels.device)
    score = score.masked_fill(shared, -1.0)
    best, partner = score.max(1)
    return partner, best >= 0
