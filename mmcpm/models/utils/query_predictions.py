"""What the decoders of a head with queries hand to its losses."""

from typing import NamedTuple

import torch
from torch import Tensor


class PixelDecoderOutput(NamedTuple):
    """Features that the visual decoder attends to and makes masks with."""

    # Mask feature, [B, C, H / 4, W / 4].
    mask_feature: Tensor
    # Per level, coarse to fine, [B, h * w, C].
    keys: list[Tensor]
    # Their positional encodings, [B, h * w, C].
    positions: list[Tensor]
    # (h, w) of each level.
    sizes: list[tuple[int, int]]
    # Factor of each channel of the mask feature in the masks, [B, C], if the
    # sound gates the channels.
    channel_gate: Tensor | None = None


def mask_logits(embedding: Tensor, feature: Tensor) -> Tensor:
    """Multiply mask embeddings with the mask feature.

    Args:
        embedding (Tensor): ``[..., B, T, C]``.
        feature (Tensor): ``[B, C, h, w]``.

    Returns:
        Tensor: ``[..., B, T, h, w]``.
    """
    return torch.einsum('...bnc,bchw->...bnhw', embedding, feature)


class QueryPredictions(NamedTuple):
    """Predictions before the first and after every layer of a decoder.

    L predictions for B images and T queries.
    """

    # The queries after the last layer, [B, T, C].
    query: Tensor
    # Queries normalized for the predictions, [L, B, T, C].
    state: Tensor
    # Logits, [L, B, T, classes + 1].
    class_scores: Tensor
    # Their products with the mask feature are masks, [L, B, T, C].
    mask_embedding: Tensor

    def of_images(self, index: Tensor) -> 'QueryPredictions':
        """Select images of the batch.

        Args:
            index (Tensor): Their places in the batch, ``[I]`` int64.

        Returns:
            QueryPredictions: Of these images alone.
        """
        return QueryPredictions(
            self.query[index],
            self.state[:, index],
            self.class_scores[:, index],
            self.mask_embedding[:, index],
        )


class PromptedPredictions(NamedTuple):
    """Predictions of N class-agnostic queries and K prompts per image."""

    # Classes that are prompted, per image.
    classes: list[list[int]]
    # The same, [B, K], -1 for padding.
    labels: Tensor
    # Whether the mixtures know the class of a prompt yet, [B, K] bool.
    valid: Tensor
    # Queries, then prompts, after the audio decoder, [B, N + K, C].
    audio_query: Tensor
    predictions: QueryPredictions
