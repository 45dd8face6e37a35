"""Selection of the sounding objects: the rules of the three sets of VPO.

CAVP, section 3: one object (VPO-SS), objects of several classes (VPO-MS), and
several instances of a class, which only their place tells apart (VPO-MSMI).
"""

import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .annotations import Instance, Picture
from .segmentation import paint


def seeded_generator(*key: object) -> random.Random:
    """Make a generator of random numbers."""
    digest = hashlib.blake2b('/'.join(map(str, key)).encode(), digest_size=8)
    return random.Random(int.from_bytes(digest.digest(), 'big'))


class Rules(NamedTuple):
    """What may sound.

    Attributes:
        min_area (float): Smallest share of the picture that a sounding object
            covers.
        max_sources (int): Most objects that sound in a picture.
        min_separation (float): Smallest distance, as a share of the width,
            between the centers of instances of a class in VPO-MSMI.
        seed (int): Seed of what is drawn.
    """

    min_area: float = 0.01
    max_sources: int = 3
    min_separation: float = 0.1
    seed: int = 0


class Choice(NamedTuple):
    """Objects of a picture that sound together.

    Attributes:
        picture (Picture): The picture.
        subset (str): 'ss', 'ms' or 'msmi': the folder it will lie in.
        sounding (tuple[Instance, ...]): Sounding instances, by id.
    """

    picture: Picture
    subset: str
    sounding: tuple[Instance, ...]


def choose(
    picture: Picture, clips: Mapping[str, int], rules: Rules
) -> list[Choice]:
    """Choose what sounds in a picture.

    In VPO-SS every class that the picture shows once gives a sample. A
    picture with two such classes is one of VPO-MS; else one with several
    instances of a class is one of VPO-MSMI, as a picture has one set of
    sounds in the index file of both. Small objects and crowds never sound,
    but their class counts as shown several times beside another instance.

    Args:
        picture (Picture): The picture.
        clips (Mapping[str, int]): Number of clips by class; instances of a
            class that sound together need one each.
        rules (Rules): The rules.

    Returns:
        list[Choice]: Possibly none.
    """
    single, several = _sort_instances(picture, rules)
    single = [one for one in single if clips.get(one.class_name)]
    several = [one for one in several if clips.get(one.class_name)]
    choices = [Choice(picture, 'ss', (one,)) for one in single]
    sounding = _draw_classes(picture, single, rules)
    subset = 'ms'
    if not sounding and several:
        subset = 'msmi'
        sounding = _draw_instances(picture, single, several, clips, rules)
    if sounding:
        choices.append(Choice(picture, subset, tuple(sorted(sounding))))
    return choices


def _sort_instances(
    picture: Picture, rules: Rules
) -> tuple[list[Instance], list[Instance]]:
    """Sort the objects that may sound."""
    classes = defaultdict(list)
    for instance in picture.instances:
        classes[instance.class_name].append(instance)
    single, several = [], []
    for _, shown in sorted(classes.items()):
        usable = [one for one in shown if not unusable(one, picture, rules)]
        places = sorted(one.position for one in usable)
        apart = all(b - a >= rules.min_separation for a, b in pairwise(places))
        if len(shown) == 1:
            single += usable
        elif len(usable) > 1 and apart and not any(i.crowd for i in shown):
            several += usable
    return single, several


def unusable(instance: Instance, picture: Picture, rules: Rules) -> str:
    """Tell why an object cannot sound, whatever is beside it.

    Args:
        instance (Instance): The object.
        picture (Picture): Picture of the instances.
        rules (Rules): The rules.

    Returns:
        str: 'crowd' or 'small'; empty if it can.
    """
    if instance.crowd:
        return 'crowd'
    small = instance.area < _least_pixels(picture, rules)
    return 'small' if small else ''


def count_unusable(picture: Picture, rules: Rules) -> Counter:
    """Count the objects of a picture that cannot sound, by reason.

    Args:
        picture (Picture): The picture.
        rules (Rules): The rules.

    Returns:
        Counter: Numbers of objects by reason: 'crowd', 'small' and 'several'
        (of the class, so that it is in VPO-MSMI at most).
    """
    reasons = Counter(unusable(i, picture, rules) for i in picture.instances)
    single, _ = _sort_instances(picture, rules)
    reasons['several'] = reasons.pop('', 0) - len(single)
    return reasons


def _least_pixels(picture: Picture, rules: Rules) -> float:
    """Pixels that an object covers at least; never none."""
    return max(rules.min_area * picture.height * picture.width, 1)


def _draw_classes(
    picture: Picture, single: list[Instance], rules: Rules
) -> list[Instance]:
    """Draw two or more objects of different classes."""
    most = min(rules.max_sources, len(single))
    if most < 2:
        return []
    generator = seeded_generator(rules.seed, 'ms', picture.number)
    sounding = generator.sample(single, generator.randint(2, most))
    return sounding if _all_show(picture, sounding, rules) else []


def _draw_instances(
    picture: Picture,
    single: list[Instance],
    several: list[Instance],
    clips: Mapping[str, int],
    rules: Rules,
) -> list[Instance]:
    """Draw objects, one of a class with several instances among them."""
    generator = seeded_generator(rules.seed, 'msmi', picture.number)
    first = generator.choice(several)
    others = [one for one in single + several if one is not first]
    generator.shuffle(others)
    number = generator.randint(1, min(rules.max_sources, 1 + len(others)))
    sounding, used = [], Counter()
    for one in (first, *others):
        # The same sound from two places would come from between them.
        enough = used[one.class_name] >= clips[one.class_name]
        if len(sounding) < number and not enough:
            sounding.append(one)
            used[one.class_name] += 1
    return sounding if _all_show(picture, sounding, rules) else []


def _all_show(
    picture: Picture, sounding: list[Instance], rules: Rules
) -> bool:
    """Check that no object is hidden behind the others."""
    painted = paint(
        [one.mask for one in sounding], picture.height, picture.width
    )
    pixels = np.bincount(painted.ravel(), minlength=len(sounding) + 1)
    return bool(pixels[1:].min() >= _least_pixels(picture, rules))
