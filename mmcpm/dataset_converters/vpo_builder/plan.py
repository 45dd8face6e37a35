"""Plan of a dataset: what sounds where, before anything is written."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from mmcpm.datasets.errors import DatasetIndexError, DatasetNotFoundError
from mmcpm.datasets.metadata.vpo import TEST, TRAIN, seeded_order
from mmcpm.datasets.vpo import SUBSETS

from .annotations import (
    Instance,
    Picture,
    category_names,
    load_annotations,
    read_pictures,
)
from .classes import ClassMap, match_by_name, read_class_map
from .ingredients import Ingredients
from .recordings import Clip, check_recordings, read_clips
from .selection import choose, count_unusable
from .splits import split_clips, split_pictures


class Sample(NamedTuple):
    """A picture with its sounds.

    Attributes:
        picture (Picture): The picture.
        subset (str): 'ss', 'ms' or 'msmi': the folder it will lie in.
        split (str): 'train' or 'val', VPO's name for the test.
        sounds (tuple[tuple[Instance, Clip], ...]): Sounding instances, each
            with its recording.
    """

    picture: Picture
    subset: str
    split: str
    sounds: tuple[tuple[Instance, Clip], ...]


class Plan(NamedTuple):
    """A dataset that is not yet written.

    Attributes:
        samples (list[Sample]): Samples, in order of subset, picture and class.
        classes (ClassMap): Classes with their categories and recordings.
        clips (dict[str, Counter]): Clips by split and class.
        unusable (Counter): Objects that cannot sound, by reason.
        pictures (int): Pictures of the annotations.
        digest (str): Digest of everything that decides on the contents of the
            dataset.
    """

    samples: list[Sample]
    classes: ClassMap
    clips: dict[str, Counter]
    unusable: Counter
    pictures: int
    digest: str


def make_plan(parts: Ingredients) -> Plan:
    """Decide what sounds where.

    Args:
        parts (Ingredients): Sources and settings of the dataset.

    Returns:
        Plan: The dataset.

    Raises:
        DatasetNotFoundError: If a file or folder is missing.
        DatasetIndexError: If a file holds what cannot be, or a set would have
            no sample for training or test.
        AudioReadError: If a recording cannot be used.
    """
    clips = read_clips(parts.recordings, parts.audio)
    contents = {parts.annotations: load_annotations(parts.annotations)}
    if parts.test_annotations:
        contents[parts.test_annotations] = load_annotations(
            parts.test_annotations
        )
    categories = {
        name
        for path, content in contents.items()
        for name in category_names(content, path).values()
    }
    labels = {clip.label for clip in clips}
    names = parts.metainfo['classes'][1:]
    classes = (
        read_class_map(parts.class_map, categories, labels, names)
        if parts.class_map
        else match_by_name(categories, labels, names)
    )
    pictures = _read_all(parts, contents, classes)
    # Several gigabytes, for all of COCO.
    contents.clear()
    clips = check_recordings(clips, classes.heard_as, parts.seconds)
    split_of = split_clips(
        clips, classes.heard_as, parts.test_share, parts.seed
    )
    by_class = {TRAIN: defaultdict(list), TEST: defaultdict(list)}
    for clip in clips:
        name = classes.heard_as[clip.label]
        by_class[split_of[clip.name]][name].append(clip)
    numbers = {
        split: Counter({name: len(of) for name, of in members.items()})
        for split, members in by_class.items()
    }
    samples, unusable = [], Counter()
    for split, shown in pictures.items():
        for picture in shown:
            unusable += count_unusable(picture, parts.rules)
            for choice in choose(picture, numbers[split], parts.rules):
                samples.append((split, choice))
    samples.sort(
        key=lambda s: (
            SUBSETS.index(s[1].subset),
            s[1].picture.number,
            s[1].sounding[0].number,
        )
    )
    samples = _give_clips(
        [s for s in samples if s[1].subset in parts.folders],
        by_class,
        parts.seed,
    )
    number = sum(map(len, pictures.values()))
    plan = Plan(samples, classes, numbers, unusable, number, '')
    _check_sets(plan, parts)
    return plan._replace(digest=_digest(plan, parts))


def _read_all(
    parts: Ingredients, contents: dict[Path, dict], classes: ClassMap
) -> dict[str, list[Picture]]:
    """Read the pictures by split."""
    for folder in (parts.images, parts.test_images):
        if folder and not folder.is_dir():
            raise DatasetNotFoundError(
                f'No folder {folder}. Expected the one that the pictures of '
                'the annotations lie in.'
            )
    path = parts.annotations
    pictures = read_pictures(
        contents[path], path, parts.images, classes.class_of
    )
    other = parts.test_annotations
    if not other:
        split_of = split_pictures(
            (p.number for p in pictures), parts.test_share, parts.seed
        )
        return {
            split: [p for p in pictures if split_of[p.number] == split]
            for split in (TRAIN, TEST)
        }
    tested = read_pictures(
        contents[other],
        other,
        parts.test_images or parts.images,
        classes.class_of,
    )
    for kind, key in (('id', 0), ('file', 1)):
        both = {p[key] for p in pictures} & {p[key] for p in tested}
        if both:
            raise DatasetIndexError(
                f'{len(both)} pictures are in {path} and in {other}, such as '
                f'the one of {kind} {min(both)}. Training and test shall '
                'share none: remove them from one of the files.'
            )
    return {TRAIN: pictures, TEST: tested}


def _give_clips(
    choices: Iterable[tuple], by_class: Mapping, seed: int
) -> list[Sample]:
    """Give every sounding object a clip of its class and split.

    The clips of a class take turns, so that all are heard equally often, and
    instances of a class that sound together have different ones.
    """
    turns, samples = {}, []
    for split, choice in choices:
        sounds = []
        for instance in choice.sounding:
            key = (choice.subset, split, instance.class_name)
            if key not in turns:
                clips = {c.name: c for c in by_class[split][key[2]]}
                order = seeded_order(clips, seed, 'turns', *key)
                turns[key] = [0, [clips[name] for name in order]]
            turn, clips = turns[key]
            sounds.append((instance, clips[turn % len(clips)]))
            turns[key][0] += 1
        samples.append(
            Sample(choice.picture, choice.subset, split, tuple(sounds))
        )
    return samples


def _check_sets(plan: Plan, parts: Ingredients) -> None:
    """Refuse to make a set without samples for training or test."""
    found = Counter((s.subset, s.split) for s in plan.samples)
    for subset in parts.subsets:
        for split, name in ((TRAIN, 'training'), (TEST, 'the test')):
            if found[subset, split]:
                continue
            counts = ', '.join(
                f'{number} {reason}'
                for reason, number in sorted(plan.unusable.items())
            )
            raise DatasetIndexError(
                f'{parts.annotations}: no picture for VPO-{subset.upper()} '
                f'and {name} is left of {plan.pictures} (objects that cannot '
                f'sound: {counts}). Lower the smallest area '
                f'({parts.min_area}) or separation ({parts.min_separation}), '
                'change the share of the test, give more pictures, or leave '
                'this set out.'
            )


def _digest(plan: Plan, parts: Ingredients) -> str:
    """Digest all that decides on the contents of the dataset."""
    digest = hashlib.sha256(
        json.dumps([parts.seconds, sorted(parts.subsets)]).encode()
    )
    if parts.classes:
        digest.update(json.dumps(parts.metainfo).encode())
    for sample in plan.samples:
        picture = sample.picture
        row = (sample.subset, sample.split, picture.number, str(picture.path))
        digest.update(json.dumps(row).encode())
        for instance, clip in sample.sounds:
            of_mask = instance.mask['counts']
            sound = (clip.name, clip.content, clip.start, clip.label)
            what = (instance.number, instance.class_name, instance.position)
            digest.update(json.dumps(what + sound).encode() + of_mask)
    return digest.hexdigest()
