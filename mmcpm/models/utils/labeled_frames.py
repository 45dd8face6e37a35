"""The frames of a batch that a loss may see."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from mmseg.structures import SegDataSample
from torch import Tensor

from ...structures.audio_features import AudioFeatures
from ...structures.clips import is_scored
from .mixing import MixedAudio
from .transfers import few_numbers


class LabeledFrames(NamedTuple):
    """Some frames of a batch."""

    image_features: Sequence[Tensor]
    audio: AudioFeatures
    data_samples: list[SegDataSample]
    # Factor of the losses: 1, or 0 if no frame is labeled and one stands in.
    factor: float


def labeled_index(
    data_samples: Sequence[SegDataSample],
) -> tuple[list[int], float]:
    """Find the frames that have a label.

    Args:
        data_samples (Sequence[SegDataSample]): Samples of a batch.

    Returns:
        tuple[list[int], float]: Their places in the batch and the factor of
        the losses: 1, or 0 if there is none. The first frame stands in then:
        every process of a distributed training needs a graph that reaches
        all parameters.
    """
    kept = [
        index
        for index, sample in enumerate(data_samples)
        if is_scored(sample.metainfo)
    ]
    return kept or [0], float(bool(kept))


def weigh_losses(
    losses: dict[str, Tensor], factor: float
) -> dict[str, Tensor]:
    """Multiply losses, but not what is only logged beside them.

    Args:
        losses (dict[str, Tensor]): Losses, whose names contain "loss", and
            other values.
        factor (float): Factor of the losses.

    Returns:
        dict[str, Tensor]: By the same names.
    """
    if factor == 1:
        return losses
    return {
        name: factor * value if 'loss' in name else value
        for name, value in losses.items()
    }


def select_labeled(
    image_features: Sequence[Tensor],
    audio: AudioFeatures,
    data_samples: list[SegDataSample],
) -> LabeledFrames:
    """Leave out frames without a label, for heads that treat each alone.

    The first frame stays if none is labeled, see :func:`labeled_index`.

    Args:
        image_features (Sequence[Tensor]): Levels, ``[B, C, h, w]``.
        audio (AudioFeatures): Features of the sounds. What comes out are
            single frames: it has no clips.
        data_samples (list[SegDataSample]): Samples of the batch.

    Returns:
        LabeledFrames: The others.
    """
    kept, factor = labeled_index(data_samples)
    if len(kept) == len(data_samples):
        audio = replace(audio, clip_length=1, valid=None)
        return LabeledFrames(image_features, audio, data_samples, factor)
    index = few_numbers(kept, image_features[0].device)
    embedding = audio.embedding
    audio = replace(
        audio,
        levels=[level[index] for level in audio.levels],
        embedding=None if embedding is None else embedding[index],
        clip_length=1,
        valid=None,
    )
    mixture = getattr(audio, 'mixture', None)
    if mixture is not None:
        levels, *others = mixture
        mixture = MixedAudio(
            [level[index] for level in levels],
            *(part if part is None else part[index] for part in others),
        )
        audio = replace(audio, mixture=mixture)
    return LabeledFrames(
        [level[index] for level in image_features],
        audio,
        [data_samples[k] for k in kept],
        factor,
    )
