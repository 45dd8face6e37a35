"""What an audio encoder gives a decode head."""

from dataclasses import dataclass

from torch import Tensor


@dataclass
class AudioFeatures:
    """Features of the sounds of a batch.

    A segmentor that has more to tell its head (see
    :class:`mmcpm.models.CPMEncoderDecoder`) adds fields in a subclass.

    Attributes:
        levels (list[Tensor]): Pyramid, coarse to fine, each
            ``[B, C, t, f]``; empty if the audio backbone gives none.
        embedding (Tensor, optional): Global embedding ``[B, D]``, if the
            audio backbone gives one.
    """

    levels: list[Tensor]
    embedding: Tensor | None = None
