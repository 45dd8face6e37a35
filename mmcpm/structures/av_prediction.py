"""What a decode head predicts."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass
class AVPrediction:
    """Predictions for a batch of images, or of windows of images.

    The segmentor turns ``scores`` into a segmentation and copies every other
    field that is set into the data samples, where metrics and pictures find
    it by its name.

    Attributes:
        scores (Tensor): Score of every class at every pixel,
            ``[B, classes, H, W]``.
        audio_query_classes (Tensor, optional): Class of each of N queries
            after the audio decoder, before the image is attended to,
            ``[B, N]`` int64, ``classes`` for "no object".
        query_classes (Tensor, optional): Class of each query at the end,
            ``[B, N]`` int64; of a picture that was cut into W windows,
            ``[B, W * N]``.
        query_scores (Tensor, optional): Probability of that class, ``[B, N]``,
            and
        query_masks (Tensor, optional): mask logits of each query, ``[B, N,
            h, w]``, of the input as it is padded. A head gives both if its
            ``keep_query_masks`` is set; there are none of a picture that was
            cut into windows.
    """

    scores: Tensor
    audio_query_classes: Tensor | None = None
    query_classes: Tensor | None = None
    query_scores: Tensor | None = None
    query_masks: Tensor | None = None

    def extras(self) -> dict[str, Tensor]:
        """Collect the fields beside the scores that are set.

        Returns:
            dict[str, Tensor]: By name, each ``[B, ...]``.
        """
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values.pop('scores')
        return {k: v for k, v in values.items() if v is not None}


def join_windows(
    scores: Tensor, extras: list[dict[str, Tensor]]
) -> AVPrediction:
    """Join the predictions for the windows of one batch of images.

    Args:
        scores (Tensor): Scores of the whole images, ``[B, classes, H, W]``.
        extras (list[dict[str, Tensor]]): :meth:`AVPrediction.extras` of every
            window.

    Returns:
        AVPrediction: For the whole images. What the audio alone decides is
        the same in all windows, and taken from the first.
    """
    joined = dict(extras[0])
    if 'query_classes' in joined:
        joined['query_classes'] = torch.cat(
            [window['query_classes'] for window in extras], 1
        )
    for name in ('query_scores', 'query_masks'):
        joined.pop(name, None)
    return AVPrediction(scores, **joined)
