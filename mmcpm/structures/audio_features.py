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
        clip_length (int): T: the batch is whole clips, and its samples
            ``b * T .. b * T + T - 1`` are the frames of clip ``b`` in order.
            1 where frames are read one by one.
        valid (Tensor, optional): Whether there is such a frame, ``[B]``
            bool; False where it only fills up a clip of fewer than T frames.
            None: all are frames.
    """

    levels: list[Tensor]
    embedding: Tensor | None = None
    clip_length: int = 1
    valid: Tensor | None = None
