"""Split of recordings and pictures into training and test.

The files of VPO call the test split 'val'.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from mmcpm.datasets.errors import DatasetIndexError
from mmcpm.datasets.metadata.vpo import (
    TEST,
    TRAIN,
    held_out_images,
    seeded_order,
)

from .recordings import Clip


def split_pictures(
    numbers: Iterable[int], share: float, seed: int
) -> dict[int, str]:
    """Draw the pictures for the test.

    Args:
        numbers (Iterable[int]): Ids of the pictures.
        share (float): Share of them that is for the test.
        seed (int): Seed.

    Returns:
        dict[int, str]: 'train' or 'val' by id.
    """
    numbers = list(numbers)
    names = {f'{number:012}' for number in numbers}
    tested = held_out_images(names, share, seed)
    return {n: TEST if f'{n:012}' in tested else TRAIN for n in numbers}


def split_clips(
    clips: list[Clip], heard_as: Mapping[str, str], share: float, seed: int
) -> dict[str, str]:
    """Draw the clips for the test, of every class at least one.

    Clips of one recording, of files with the same content and of one group
    come to the same split.

    Args:
        clips (list[Clip]): The clips, with their digests.
        heard_as (Mapping[str, str]): Class by label.
        share (float): Share of the recordings of a class that is for the
            test, rounded, but at least one and not all.
        seed (int): Seed.

    Returns:
        dict[str, str]: 'train' or 'val' by name of the clip.

    Raises:
        DatasetIndexError: If a class has no recording for each split.
    """
    owner = group_clips(clips)
    families = defaultdict(set)
    for clip in clips:
        families[heard_as[clip.label]].add(owner[clip.name])
    split = {}
    # Classes with few first: a family of two classes is placed once.
    for name in sorted(families, key=lambda n: (len(families[n]), n)):
        family = seeded_order(families[name], seed, 'recordings', name)
        number = min(max(round(share * len(family)), 1), len(family) - 1)
        tested = sum(split.get(member) == TEST for member in family)
        for member in family:
            if member not in split:
                split[member] = TEST if tested < number else TRAIN
                tested += split[member] == TEST
    for name, family in sorted(families.items()):
        found = {split[member] for member in family}
        if found != {TRAIN, TEST}:
            listed = [c for c in clips if heard_as[c.label] == name]
            raise DatasetIndexError(
                f'{listed[0].place}: the {len(listed)} clips of class '
                f'{name!r} are of {len(family)} recordings, and all come to '
                'one split, where no recording shall be in both. Add some '
                'of another origin, or leave the class out with a map of '
                'classes.'
            )
    return {clip.name: split[owner[clip.name]] for clip in clips}


def group_clips(clips: Iterable[Clip]) -> dict[str, str]:
    """Find the clips that must stay together.

    Args:
        clips (Iterable[Clip]): The clips, with their digests.

    Returns:
        dict[str, str]: Name of the first clip, alphabetically, of those
        that it stays with, by name of the clip.
    """
    parent = {}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    first = {}
    for clip in sorted(clips, key=lambda clip: clip.name):
        parent[clip.name] = clip.name
        for key in (('file', clip.content), ('group', clip.group)):
            if key == ('group', ''):
                continue
            joined = sorted((root(clip.name), root(first.get(key, clip.name))))
            parent[joined[1]] = joined[0]
            first.setdefault(key, clip.name)
    return {name: root(name) for name in parent}
