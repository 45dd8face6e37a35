"""The worlds that sounding scenes can be drawn from.

A preset owns every number of its world: classes, how many objects are seen
and heard, and how clips are shared among the subsets of AVSBench-Semantic.
"""

from dataclasses import dataclass

from mmcpm.datasets.sounding_scenes import (
    HardSoundingScenesDataset,
    SoundingScenesDataset,
)

from .looks import Look
from .voices import Buzz, Chirps, Hiss, Melody, Strikes, Sweep, Thumps, Voice

# Raised whenever the same seed gives other files than before.
GENERATOR_VERSION = 1

# Seconds, and frames, of a clip of each subset.
CLIP_SECONDS = SoundingScenesDataset.FRAMES_PER_CLIP


@dataclass(frozen=True)
class SoundingClass:
    """A class: its name, look and voice.

    Args:
        name (str): Name, without ``_`` (the separator of ``a_obj``).
        look (Look): Shape, texture and colors of its objects.
        voice (Voice): Pitch, timbre and rhythm of its objects.
    """

    name: str
    look: Look
    voice: Voice


@dataclass(frozen=True)
class Preset:
    """A world of sounding scenes.

    Args:
        name (str): Name of the preset.
        dataset (type): Dataset class that owns class names and palette.
        classes (tuple[SoundingClass, ...]): The K foreground classes; class
            k of the labels is ``classes[k - 1]``.
        sounding (dict[int, float]): Probability of the number of visible
            objects that sound in a second of a ``v1m`` or ``v2`` clip.
        silence (float): Probability that a second is silent.
        offscreen (float): Probability that a class out of view sounds in a
            second of a ``v1m`` or ``v2`` clip.
        offscreen_alone (float): Probability that then nothing else sounds.
        visible_cycle (tuple[int, ...]): Objects of consecutive clips. In
            turn, not drawn, so that small test splits are alike.
        noise_floor_db (tuple[float, float]): Range of the level of the noise
            in a clip, dB relative to full scale.
        subset_cycle (tuple[str, ...]): Subsets of consecutive clips. The
            lengths of the two cycles have no common factor.
        clips (tuple[int, int, int]): Default clips for train, val and test.
    """

    name: str
    dataset: type[SoundingScenesDataset]
    classes: tuple[SoundingClass, ...]
    sounding: dict[int, float]
    silence: float
    offscreen: float
    offscreen_alone: float
    noise_floor_db: tuple[float, float]
    visible_cycle: tuple[int, ...]
    subset_cycle: tuple[str, ...]
    clips: tuple[int, int, int]

    @property
    def class_names(self) -> tuple[str, ...]:
        """tuple[str, ...]: Names by class id, background first."""
        return self.dataset.METAINFO['classes']

    @property
    def palette(self) -> list[list[int]]:
        """list[list[int]]: RGB colors by class id, background first."""
        return self.dataset.METAINFO['palette']

    def count_objects(self, index: int) -> int:
        """Count the objects of the clip with this index in its split."""
        return self.visible_cycle[index % len(self.visible_cycle)]

    def subset(self, index: int) -> str:
        """Subset of the clip with this index in its split."""
        return self.subset_cycle[index % len(self.subset_cycle)]


DEMO_CLASSES = (
    SoundingClass(
        'bell', Look('bell', 'bands', 50),
        Strikes((520, 760), (1.8, 2.6), (0.16, 0.3), (1, 2.76, 5.4, 8.93)),
    ),
    SoundingClass(
        'drum', Look('barrel', 'staves', 0),
        Thumps((60, 95), (4.0, 6.5), (0.06, 0.1)),
    ),
    SoundingClass(
        'siren', Look('horn', 'rings', 222),
        Sweep((950, 1300), (1.1, 1.9), (0.3, 0.42)),
    ),
    SoundingClass(
        'cricket', Look('insect', 'dots', 110),
        Chirps((4300, 5600), (2.6, 4.0), (22, 32)),
    ),
    SoundingClass(
        'kettle', Look('kettle', 'plain', 318),
        Sweep(
            (2500, 3100), (4.5, 6.5), (0.015, 0.03), overtones=(1.0, 0.35),
            breath=0.35,
        ),
    ),
    SoundingClass(
        'engine', Look('gear', 'checks', 26),
        Buzz((75, 115), (9, 13), (500, 900)),
    ),
    SoundingClass(
        'fountain', Look('drop', 'waves', 182),
        Hiss((1200, 1800), (6000, 7500), (0.8, 1.5)),
    ),
    SoundingClass(
        'lark', Look('bird', 'slants', 268), Melody((1500, 1900), (6.0, 8.5)),
    ),
)  # fmt: skip

# Four more, each close in sound to some of the eight.
HARD_CLASSES = (
    *DEMO_CLASSES,
    SoundingClass(
        'clock', Look('clock', 'plain', 146),
        Strikes((1800, 2600), (4.5, 7.0), (0.01, 0.02), (1, 1.6, 2.9)),
    ),
    SoundingClass(
        'fan', Look('fan', 'rings', 340),
        Hiss((150, 300), (1000, 1600), (3.0, 6.0)),
    ),
    SoundingClass(
        'violin', Look('violin', 'bands', 80),
        Sweep(
            (320, 520), (4.5, 6.5), (0.01, 0.03),
            overtones=(1.0, 0.8, 0.6, 0.5, 0.4, 0.3),
        ),
    ),
    SoundingClass(
        'frog', Look('frog', 'dots', 204),
        Chirps((600, 1000), (1.2, 2.2), (26, 40), duty=0.4),
    ),
)  # fmt: skip

PRESETS = {
    'demo': Preset(
        name='demo',
        dataset=SoundingScenesDataset,
        classes=DEMO_CLASSES,
        sounding={1: 0.5, 2: 0.5},
        silence=0.08,
        offscreen=0.20,
        offscreen_alone=0.5,
        noise_floor_db=(-62.0, -52.0),
        visible_cycle=(2, 3, 4),
        subset_cycle=('v2', 'v1s', 'v2', 'v1m', 'v2'),
        clips=(405, 15, 45),
    ),
    # Where methods can be told apart: more classes, of which some sound
    # alike, more of them at once, more that is heard and not seen, and noise.
    'hard': Preset(
        name='hard',
        dataset=HardSoundingScenesDataset,
        classes=HARD_CLASSES,
        sounding={1: 0.4, 2: 0.35, 3: 0.25},
        silence=0.06,
        offscreen=0.30,
        offscreen_alone=0.4,
        noise_floor_db=(-46.0, -34.0),
        visible_cycle=(3, 4, 5),
        subset_cycle=('v2', 'v1s', 'v2', 'v1m', 'v2'),
        clips=(300, 20, 60),
    ),
}


def count_labeled_frames(subset: str, split: str) -> int:
    """Count the labeled frames of a clip, as in AVSBench-Semantic."""
    return 1 if (subset, split) == ('v1s', 'train') else CLIP_SECONDS[subset]


def get_preset(name: str) -> Preset:
    """Look up a preset.

    Raises:
        ValueError: If there is no preset of this name.
    """
    if name not in PRESETS:
        raise ValueError(
            f'There is no preset {name!r} of sounding scenes. '
            f'Choose one of {sorted(PRESETS)}.'
        )
    return PRESETS[name]
