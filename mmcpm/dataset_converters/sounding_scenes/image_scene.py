"""A sounding image: one frame, and a recording for every sounding object.

What VPO's images are. Several instances of a class look alike and sound
alike; only where a sound comes from tells which of them it is.
"""

from dataclasses import dataclass

import numpy as np

from mmcpm.datasets.metadata.index_table import SPLITS

from .presets import Preset
from .soundtrack import Schedule, render_soundtrack
from .world import World, draw_world

# Seconds of a recording, and those in which its class is heard: the center,
# which is what the loader must take.
RECORDING_SECONDS = 5
HEARD_SECONDS = range(1, 4)
# Instances of one class are at least this share of the image width apart.
APART = 0.35
# Every fourth image of MSMI holds no class twice. Three, the length of the
# cycle of objects, has no common factor with it.
SINGLE_INSTANCE_CYCLE = 4


@dataclass(frozen=True)
class SoundSource:
    """A sounding object of an image.

    Args:
        index (int): Which object of the world.
        class_id (int): Class of the object.
        position (float): Horizontal center of the object, 0 (left) to 1
            (right).
        recording (np.ndarray): Mono waveform at 16 kHz, float32, shape
            (80000,).
    """

    index: int
    class_id: int
    position: float
    recording: np.ndarray


@dataclass(frozen=True)
class ImageScene:
    """An image and its truth.

    Args:
        preset (Preset): The world it was drawn from.
        multi_instance (bool): Whether a class is seen twice.
        world (World): Visible part of the image, one frame.
        sources (tuple[SoundSource, ...]): Sound sources of the image.
    """

    preset: Preset
    multi_instance: bool
    world: World
    sources: tuple[SoundSource, ...]

    @property
    def label(self) -> np.ndarray:
        """np.ndarray: Classes of sounding pixels, uint8, shape (H, W)."""
        sounding = np.isin(
            self.world.owners[0], [source.index for source in self.sources]
        )
        return np.where(sounding, self.world.visible[0], 0).astype(np.uint8)

    def truth(self) -> dict:
        """Describe the image in plain types.

        Returns:
            dict: Objects (the farthest first; x and y of the center and
            radius in pixels) and which of them sound.
        """
        names = self.preset.class_names
        return {
            'multi_instance': self.multi_instance,
            'objects': [
                {
                    'class': names[o.class_id],
                    'x_y_radius': [
                        round(o.poses[0].x, 1),
                        round(o.poses[0].y, 1),
                        round(o.poses[0].radius, 1),
                    ],
                }
                for o in self.world.objects
            ],
            'sounding': [
                {'object': s.index, 'position': s.position}
                for s in self.sources
            ],
        }


def make_image(
    preset: Preset,
    subset: str,
    split: str,
    index: int,
    *,
    seed: int = 0,
    size: int = 96,
) -> ImageScene:
    """Make one image, the same whatever else is made.

    In 'ss' one of two to four objects sounds, in 'ms' two of three or four.
    In 'msmi', two objects are of one class, one of them sounds, and every
    other time another object too; every fourth image is one of 'ms'.

    Args:
        preset (Preset): The world.
        subset (str): 'ss', 'ms' or 'msmi'.
        split (str): 'train', 'val' or 'test'.
        index (int): Number of the image in its split, from 0.
        seed (int): Seed of the dataset, not negative.
        size (int): Height and width of the image, pixels.

    Returns:
        ImageScene: The image.
    """
    # Apart from the two streams of a clip.
    looks, sounds = (
        np.random.default_rng(
            np.random.SeedSequence(
                seed, spawn_key=(SPLITS.index(split), index, stream)
            )
        )
        for stream in (2, 3)
    )
    multi_instance = subset == 'msmi' and index % SINGLE_INSTANCE_CYCLE != 0
    num_objects = preset.count_objects(index)
    if subset != 'ss' and not multi_instance:
        num_objects = max(num_objects, 3)
    class_ids = 1 + looks.permutation(len(preset.classes))[:num_objects]
    if multi_instance:
        class_ids[-1] = class_ids[0]
        class_ids = looks.permutation(class_ids)
    while True:
        world = draw_world(
            preset, num_objects, 1, size, looks, class_ids=class_ids
        )
        if not multi_instance or _distance(world) >= APART * size:
            break
    sources = tuple(
        SoundSource(
            index=i,
            class_id=world.objects[i].class_id,
            position=round(world.objects[i].poses[0].x / size, 4),
            recording=_record(preset, world.objects[i].class_id, sounds),
        )
        for i in _draw_sounding(world, subset, multi_instance, sounds)
    )
    return ImageScene(preset, multi_instance, world, sources)


def _instances(world: World) -> list[int]:
    """List the objects that are not the only one of their class."""
    classes = [o.class_id for o in world.objects]
    return [i for i, c in enumerate(classes) if classes.count(c) > 1]


def _distance(world: World) -> float:
    """Horizontal distance of the two instances of one class, pixels."""
    first, second = (world.objects[i].poses[0].x for i in _instances(world))
    return abs(first - second)


def _draw_sounding(
    world: World, subset: str, multi_instance: bool, rng: np.random.Generator
) -> list[int]:
    """Draw which objects sound, ascending."""
    everyone = range(len(world.objects))
    if not multi_instance:
        count = 1 if subset == 'ss' else 2
        return sorted(rng.choice(everyone, count, replace=False).tolist())
    instances = _instances(world)
    chosen = [int(rng.choice(instances))]
    others = [i for i in everyone if i not in instances]
    if rng.uniform() < 0.5 and others:
        chosen.append(int(rng.choice(others)))
    return sorted(chosen)


def _record(
    preset: Preset, class_id: int, rng: np.random.Generator
) -> np.ndarray:
    """Record a class: noise, three seconds of its voice, noise."""
    sounding = tuple(
        (class_id,) if second in HEARD_SECONDS else ()
        for second in range(RECORDING_SECONDS)
    )
    schedule = Schedule(sounding, ((),) * RECORDING_SECONDS)
    return render_soundtrack(preset, schedule, rng)
