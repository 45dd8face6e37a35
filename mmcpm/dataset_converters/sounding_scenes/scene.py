"""A clip of sounding scenes: what is seen, what is heard, and its labels."""

from dataclasses import dataclass

import numpy as np

from mmcpm.datasets.metadata.index_table import SPLITS

from .presets import CLIP_SECONDS, Preset
from .soundtrack import Schedule, draw_schedule, render_soundtrack
from .world import World, draw_world

OFFSCREEN_TOKEN = 'off-the-screen'


@dataclass(frozen=True)
class Clip:
    """A clip and its truth.

    Args:
        preset (Preset): The world it was drawn from.
        split (str): ``'train'``, ``'val'`` or ``'test'``.
        index (int): Number of the clip in its split.
        world (World): Visible part of the clip.
        schedule (Schedule): Sounding classes by second.
        waveform (np.ndarray): Mono waveform at 16 kHz, float32, shape (S,).
    """

    preset: Preset
    split: str
    index: int
    world: World
    schedule: Schedule
    waveform: np.ndarray

    @property
    def subset(self) -> str:
        """str: Subset, which is also the folder of the clip."""
        return self.preset.subset(self.index)

    @property
    def vid(self) -> str:
        """str: Name of the video."""
        return f'{self.split}{self.index:05d}'

    @property
    def uid(self) -> str:
        """str: Name of the clip, written as AVSBench-Semantic does."""
        if self.subset == 'v1m':
            return self.vid
        return f'{self.vid}_0_{1000 * CLIP_SECONDS[self.subset]}'

    @property
    def labels(self) -> np.ndarray:
        """np.ndarray: Classes of sounding pixels, uint8, shape (T, H, W)."""
        return np.stack(
            [
                np.where(np.isin(visible, sounding), visible, 0)
                for visible, sounding in zip(
                    self.world.visible, self.schedule.sounding, strict=True
                )
            ]
        ).astype(np.uint8)

    @property
    def a_obj(self) -> str:
        """str: Names of the classes that are seen to sound, or a token."""
        names = self.preset.class_names
        sounding = {c for second in self.schedule.sounding for c in second}
        if sounding:
            return '_'.join(names[c] for c in sorted(sounding))
        return OFFSCREEN_TOKEN if any(self.schedule.heard) else names[0]

    def truth(self) -> dict:
        """Describe the clip in plain types, for ``scene.json``.

        Returns:
            dict: Objects (the farthest first; x and y of the center, radius,
            all in pixels, by frame) and heard classes by second.
        """
        names = self.preset.class_names
        return {
            'uid': self.uid,
            'subset': self.subset,
            'split': self.split,
            'objects': [
                {
                    'class': names[o.class_id],
                    'hue': round(o.paint.hue, 1),
                    'x_y_radius': [
                        [
                            round(pose.x, 1),
                            round(pose.y, 1),
                            round(pose.radius, 1),
                        ]
                        for pose in o.poses
                    ],
                }
                for o in self.world.objects
            ],
            'seconds': [
                {
                    'sounding': [names[c] for c in seen],
                    'offscreen': [names[c] for c in unseen],
                }
                for seen, unseen in zip(
                    self.schedule.sounding,
                    self.schedule.offscreen,
                    strict=True,
                )
            ],
        }


def make_clip(
    preset: Preset,
    split: str,
    index: int,
    *,
    seed: int = 0,
    size: int = 96,
    audio_seed: int | None = None,
) -> Clip:
    """Make one clip, the same whatever else is made.

    Args:
        preset (Preset): The world.
        split (str): ``'train'``, ``'val'`` or ``'test'``.
        index (int): Number of the clip in its split, from 0.
        seed (int): Seed of the dataset, not negative.
        size (int): Height and width of the frames, pixels.
        audio_seed (int, optional): Replaces ``seed`` for what is heard: the
            same pictures with another soundtrack.

    Returns:
        Clip: The clip.
    """

    def generator(stream: int, entropy: int) -> np.random.Generator:
        key = (SPLITS.index(split), index, stream)
        return np.random.default_rng(
            np.random.SeedSequence(entropy, spawn_key=key)
        )

    subset = preset.subset(index)
    seconds = CLIP_SECONDS[subset]
    world = draw_world(
        preset, preset.count_objects(index), seconds, size, generator(0, seed)
    )
    audio = generator(1, seed if audio_seed is None else audio_seed)
    schedule = draw_schedule(preset, subset, world.classes, seconds, audio)
    waveform = render_soundtrack(preset, schedule, audio)
    return Clip(preset, split, index, world, schedule, waveform)
