"""Sounds that a frame did not have: who is heard instead, and how loud."""

import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

# Root mean square below which a second counts as this loud: -60 dB. What is
# mixed into silence would be infinitely quiet otherwise.
FLOOR = 1e-3


def frame_generator(seed: int, sample_id: str) -> np.random.Generator:
    """Make the random numbers of a frame, whatever was drawn before.

    Args:
        seed (int): Seed of the dataset.
        sample_id (str): Name of the frame.

    Returns:
        np.random.Generator: The same for the same frame.
    """
    return np.random.default_rng([seed, zlib.crc32(sample_id.encode())])


def loudness(audio: Tensor) -> float:
    """Measure a waveform.

    Args:
        audio (Tensor): float32 ``[channels, samples]``.

    Returns:
        float: Root mean square over channels and samples, at least 0.001.
    """
    if not audio.numel():
        return FLOOR
    return max(float(audio.double().square().mean().sqrt()), FLOOR)


def white_noise(
    shape: tuple[int, int], generator: np.random.Generator
) -> Tensor:
    """Draw Gaussian noise.

    Args:
        shape (tuple[int, int]): Channels and samples.
        generator (np.random.Generator): Source of the random numbers.

    Returns:
        Tensor: float32 ``[channels, samples]``, root mean square about 1.
    """
    return torch.from_numpy(generator.standard_normal(shape, np.float32))


def disturb(audio: Tensor, other: Tensor, snr: float | None) -> Tensor:
    """Mix another sound into a sound, or put it in its place.

    Args:
        audio (Tensor): Sound of the frame, float32 ``[channels, samples]``.
        other (Tensor): The other one, likewise.
        snr (float, optional): Level of ``audio`` above ``other`` in the
            mixture, in dB of the root mean square. None: the other one
            alone, as loud as ``audio`` was.

    Returns:
        Tensor: float32 ``[channels, samples]``.
    """
    loud = loudness(audio)
    scaled = other * (loud / loudness(other))
    if snr is None:
        return scaled
    return audio + scaled * 10 ** (-snr / 20)


def _others(
    clips: Sequence[str],
    classes: Sequence[frozenset],
    generator: np.random.Generator,
) -> Iterator[tuple[int, Iterator[int]]]:
    """For each sample: those of other clips in which something sounds."""
    order = generator.permutation(len(clips))
    for index, clip in enumerate(clips):
        # Each sample starts its search elsewhere in one random order.
        candidates = np.roll(order, -int(generator.integers(len(order))))
        yield (
            index,
            (int(i) for i in candidates if clips[i] != clip and classes[i]),
        )


def draw_partners(
    classes: Sequence[frozenset], clips: Sequence[str], seed: int
) -> list[int]:
    """Choose for every sample one that is heard instead.

    Partners come from another clip, sound, and share no sounding class with
    the sample. Where no sample is like that, one from another clip that
    sounds is taken.

    Args:
        classes (Sequence[frozenset]): Sounding classes of every sample, or
            names of what sounds.
        clips (Sequence[str]): Clip of every sample.
        seed (int): Seed of the choice.

    Returns:
        list[int]: Index of each sample's partner.

    Raises:
        ValueError: If there is nothing to choose from.
    """
    partners = []
    generator = np.random.default_rng(seed)
    for index, heard in _others(clips, classes, generator):
        first = None
        for other in heard:
            first = other if first is None else first
            if not classes[other] & classes[index]:
                first = other
                break
        if first is None:
            raise ValueError(
                'Swapped audio needs at least two clips with a labeled '
                'sounding object, but none differs from '
                f'{clips[index]!r} (sample {index} of {len(classes)}).'
            )
        partners.append(first)
    return partners


def draw_offscreen(
    classes: Sequence[frozenset], clips: Sequence[str], seed: int
) -> list[int]:
    """Choose for every sample a sound of nothing that is in view.

    What is silent in a frame has no label. What sounds at another time of the
    clip is likely to be in view, so partners share no class with the whole
    clip.

    Args:
        classes (Sequence[frozenset]): Sounding classes of every sample, or
            names of what sounds.
        clips (Sequence[str]): Clip of every sample.
        seed (int): Seed of the choice.

    Returns:
        list[int]: Index of each sample's partner.

    Raises:
        ValueError: If a clip shares a class with every other one.
    """
    of_clip: dict[str, frozenset] = {}
    for clip, found in zip(clips, classes, strict=True):
        of_clip[clip] = of_clip.get(clip, frozenset()) | found
    partners = []
    # Not the partners of 'swapped': a report on both is to tell more.
    generator = np.random.default_rng([seed, 1])
    for index, heard in _others(clips, classes, generator):
        own = of_clip[clips[index]]
        partner = next((i for i in heard if not classes[i] & own), None)
        if partner is None:
            raise ValueError(
                'Off-screen audio needs a clip in which something else '
                f'sounds, but every other one shares a class with '
                f'{clips[index]!r} ({len(own)} classes). Use recordings of '
                'something else (folder=...), or more clips.'
            )
        partners.append(partner)
    return partners
