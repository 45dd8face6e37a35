"""Mixtures of a sound with one from off the screen (CPM, Section 3.2.2).

Where nothing was recorded off the screen, the sound of another frame takes
its place. It must be another sound: a prompt cannot recover a class from a
mixture with the same class.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, get_rank, get_world_size
from torch import Tensor

from ...structures.audio_features import AudioFeatures
from ...structures.audio_labels import labels_tell_sounds
from .transfers import many_numbers

# Names by which the sound of a frame is told from others; see sound_marks.
MAX_MARKS = 16
# The mark of a frame that no other may be mixed with.
SHARED_WITH_ALL = -1
# Frames of every rank that the others may choose from: enough for ranks with
# one frame each, and little to send whatever the batch.
OFFERED = 4


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


@dataclass
class MixedAudioFeatures(AudioFeatures):
    """Features of the clean sounds of a batch, and mixtures with them.

    Attributes:
        mixture (MixedAudio, optional): The mixtures, during training.
    """

    mixture: MixedAudio | None = None


@lru_cache(maxsize=1 << 16)
def mark_of(name: str) -> int:
    """Hash a name, alike on all ranks.

    Args:
        name (str): Any name.

    Returns:
        int: A positive number of 63 bits.
    """
    digest = hashlib.blake2b(
        name.encode('utf-8', 'surrogatepass'), digest_size=8
    ).digest()
    return int.from_bytes(digest, 'little') >> 1 or 1


def sound_marks(metas: Sequence[Mapping]) -> Tensor:
    """Mark samples by their clip and by the names of what sounds.

    Args:
        metas (Sequence[Mapping]): Meta information of the samples: ``uid``,
            the clip (or else ``sample_id``), and ``sound_sources``, names;
            what is missing is not compared.

    Returns:
        Tensor: ``[B, MAX_MARKS]`` int64, 0 for padding. A sample with too
        many names has :data:`SHARED_WITH_ALL`.
    """
    rows = []
    for meta in metas:
        names = meta.get('sound_sources') or ()
        names = {names} if isinstance(names, str) else set(names)
        marks = {mark_of(f'name {name}') for name in names}
        clip = meta.get('uid', meta.get('sample_id'))
        if clip is not None:
            marks.add(mark_of(f'clip {clip}'))
        row = sorted(marks)
        if len(row) > MAX_MARKS:
            row = [SHARED_WITH_ALL]
        rows.append(row + [0] * (MAX_MARKS - len(row)))
    return torch.tensor(rows, dtype=torch.int64)


def share_a_mark(own: Tensor, other: Tensor) -> Tensor:
    """Compare every sample with every other.

    Args:
        own (Tensor): Marks of the samples, ``[B, M]``.
        other (Tensor): ``[N, M]``.

    Returns:
        Tensor: ``[B, N]`` bool.
    """
    same = own[:, None, :, None] == other[None, :, None]  # [B, N, M, M]
    same = same & (own != 0)[:, None, :, None]
    anything = (own == SHARED_WITH_ALL).any(1)[:, None]
    anything = anything | (other == SHARED_WITH_ALL).any(1)
    return same.flatten(2).any(2) | anything


def choose_partners(
    labels: Tensor,
    marks: Tensor | None = None,
    others: tuple[Tensor, Tensor] | None = None,
    audible: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Choose whose sound is mixed into each sample's.

    A partner with a clip, a name or a class in common would make the target
    contradictory: its sound is part of what the prompts are to recover.

    Args:
        labels (Tensor): Sounding classes of the samples, ``[B, classes]``
            bool.
        marks (Tensor, optional): Marks of the samples, ``[B, M]``.
        others (tuple[Tensor, Tensor], optional): Labels ``[O, classes]`` and
            marks ``[O, M]`` of candidates from elsewhere.
        audible (Tensor, optional): Whether there is anything to mix in,
            ``[B + O]`` bool.

    Returns:
        tuple[Tensor, Tensor]: Index of a random candidate (of the batch,
        then from elsewhere) that may be mixed in, ``[B]`` int64, and ``[B]``
        bool, False where there is none.
    """
    batch = len(labels)
    if marks is None:
        marks = labels.new_zeros((batch, 1), dtype=torch.int64)
    all_labels, all_marks = labels, marks
    if others is not None:
        all_labels = torch.cat([labels, others[0]])
        all_marks = torch.cat([marks, others[1]])
    shared = share_a_mark(marks, all_marks)
    if labels_tell_sounds(labels.shape[1]):
        shared |= labels.float() @ all_labels.float().T > 0
    shared[:, :batch].fill_diagonal_(True)
    if audible is not None:
        shared |= ~audible
    score = torch.rand(shared.shape, device=labels.device)
    score = score.masked_fill(shared, -1.0)
    best, partner = score.max(1)
    return partner, best >= 0


def gather_others(
    magnitude: Tensor, labels: Tensor, marks: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Exchange some sounds with the other ranks.

    Every rank must call this in the same step. What is sent has one size
    whatever the batch, since the last batches of an epoch may differ.

    Args:
        magnitude (Tensor): Magnitudes of the batch of this rank,
            ``[B, channels, T, F]``.
        labels (Tensor): Sounding classes, ``[B, classes]`` bool.
        marks (Tensor): Marks of the samples, ``[B, MAX_MARKS]``.

    Returns:
        tuple[Tensor, Tensor, Tensor]: The same of the other ranks,
        :data:`OFFERED` rows each; rows without a sound are marked as
        :data:`SHARED_WITH_ALL`. Empty with one rank.
    """
    if get_world_size() == 1:
        return magnitude[:0], labels[:0], marks[:0]
    missing = max(OFFERED - len(magnitude), 0)
    sounds = F.pad(
        magnitude.detach()[:OFFERED], (0, 0, 0, 0, 0, 0, 0, missing)
    )
    names = F.pad(
        torch.cat([labels.long(), marks], 1)[:OFFERED],
        (0, 0, 0, missing),
        value=SHARED_WITH_ALL,
    )
    found = []
    for offered in (sounds, names):
        parts = all_gather(offered.contiguous())
        del parts[get_rank()]
        found.append(torch.cat(parts))
    sounds, names = found
    classes = labels.shape[1]
    return sounds, names[:, :classes] > 0, names[:, classes:]


def sounds_of_others(
    magnitude: Tensor, labels: Tensor, metas: Sequence[Mapping]
) -> Tensor:
    """Choose for every sample the sound of another one, of any rank.

    Args:
        magnitude (Tensor): Magnitudes of the samples, ``[B, channels, T, F]``.
        labels (Tensor): Their sounding classes, ``[B, classes]`` bool, on
            the host.
        metas (Sequence[Mapping]): Their meta information, see
            :func:`sound_marks`.

    Returns:
        Tensor: Magnitudes to mix in, ``[B, channels, T, F]``, 0 where there
        is no partner.
    """
    packed = torch.cat([labels.long(), sound_marks(metas)], 1)
    packed = many_numbers(packed, magnitude.device)
    labels, marks = packed.split([labels.shape[1], MAX_MARKS], 1)
    labels = labels > 0
    sounds, *others = gather_others(magnitude, labels, marks)
    sounds = torch.cat([magnitude, sounds])
    loudest = sounds.flatten(1).amax(1)
    audible = (loudest > 0) & loudest.isfinite()
    partner, mixed = choose_partners(labels, marks, tuple(others), audible)
    return sounds[partner].masked_fill(~mixed[:, None, None, None], 0.0)
