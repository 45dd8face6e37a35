"""Pairs of images and sounds that may not belong together (CAVP)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from mmseg.structures import SegDataSample
from torch import Tensor

from ...structures.audio_features import AudioFeatures
from ...structures.audio_labels import get_audio_labels, labels_tell_sounds
from ...structures.clips import is_scored
from ..losses.point_sampling import classes_present
from .sound_bank import SoundBank
from .transfers import few_numbers


class ShuffledAudio(NamedTuple):
    """Sounds that were dealt to other images of the batch."""

    # Their embeddings, [B, D].
    embedding: Tensor
    # Whether the image shows what sounds, [B] bool.
    matches: Tensor


@dataclass
class PairedAudioFeatures(AudioFeatures):
    """Features of the sounds of a batch, and of shuffled ones.

    Attributes:
        shuffled (ShuffledAudio, optional): During training.
    """

    shuffled: ShuffledAudio | None = None


def sounding_classes(
    data_samples: Sequence[SegDataSample],
    num_classes: int,
    ignore_index: int = 255,
) -> list[list[int]]:
    """List the foreground classes that sound in each sample.

    Args:
        data_samples (Sequence[SegDataSample]): With ``audio_labels`` in the
            meta information, or else ``gt_sem_seg``.
        num_classes (int): Classes with the background.
        ignore_index (int): Label to leave out.

    Returns:
        list[list[int]]: Class ids per sample; none of a sample without a
        label.
    """
    visible = None
    if any('audio_labels' not in s.metainfo for s in data_samples):
        # Of the whole frame if possible: a crop may have lost some.
        visible = classes_present(
            torch.cat([s.gt_sem_seg.data for s in data_samples]), ignore_index
        )
    classes = get_audio_labels(
        data_samples, num_classes, ignore_index, visible
    )
    return [
        found if is_scored(sample.metainfo) else []
        for sample, found in zip(data_samples, classes, strict=True)
    ]


def matching_sounds(
    data_samples: Sequence[SegDataSample],
    classes: Sequence[Sequence[int]],
    partner: Sequence[int],
    num_classes: int,
) -> list[bool]:
    """Tell whether a sample's image shows what sounds in its partner.

    That is the case if the same classes sound. Of two classes in all, the
    labels do not tell what sounds; names do (of a clip, or of S4's category).

    Args:
        data_samples (Sequence[SegDataSample]): Samples of the batch.
        classes (Sequence[Sequence[int]]): Their sounding classes.
        partner (Sequence[int]): Index of each one's partner.
        num_classes (int): Classes with the background.

    Returns:
        list[bool]: Per sample.
    """
    if labels_tell_sounds(num_classes):
        return [
            i == j or set(classes[i]) == set(classes[j])
            for i, j in enumerate(partner)
        ]
    names = []
    for sample in data_samples:
        found = sample.metainfo.get('sound_sources') or ()
        found = {found} if isinstance(found, str) else set(found)
        names.append(found | {('clip', sample.metainfo.get('uid', object()))})
    return [i == j or bool(names[i] & names[j]) for i, j in enumerate(partner)]


def swap_sounds(
    waveform: Tensor,
    matches: Sequence[bool],
    classes: Sequence[Sequence[int]],
    bank: SoundBank,
    chosen: Sequence[bool],
) -> tuple[Tensor, Tensor]:
    """Give some mismatching pairs another sound of what the image shows.

    Without it matching sounds would all be recorded with their images.

    Args:
        waveform (Tensor): Shuffled sounds, ``[B, channels, samples]``.
        matches (Sequence[bool]): Whether they match.
        classes (Sequence[Sequence[int]]): Classes that sound in the images'
            own sounds. Only where it is one, a sound of the bank can stand
            for it.
        bank (SoundBank): Sounds of every class.
        chosen (Sequence[bool]): Pairs that may be changed.

    Returns:
        tuple[Tensor, Tensor]: Sounds, and whether they match, ``[B]`` bool.
    """
    device = waveform.device
    wanted = [
        found[0] if may and not match and len(found) == 1 else 0
        for found, match, may in zip(classes, matches, chosen, strict=True)
    ]
    ids = few_numbers(wanted, device)
    before = few_numbers(matches, device) > 0
    sounds, exists = bank.oldest(ids.clamp(min=1))
    swapped = exists & (ids > 0)
    sounds = torch.where(swapped[:, None, None], sounds, waveform)
    return sounds, before | swapped
