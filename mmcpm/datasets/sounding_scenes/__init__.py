"""Procedural scenes in which some of the visible objects sound.

Start at :mod:`.scene`, which makes a clip; :mod:`.writer` puts clips on disk
and :mod:`.ceiling` tells what can be reached without hearing.
"""

from .dataset import HardSoundingScenesDataset, SoundingScenesDataset
from .presets import PRESETS

__all__ = [
    'PRESETS',
    'HardSoundingScenesDataset',
    'SoundingScenesDataset',
]
