"""Sounding scenes as a dataset: AVSBench-Semantic with classes of its own."""

from mmseg.registry import DATASETS

from ..avsbench_semantic import AVSBenchSemanticDataset
from .presets import PRESETS


@DATASETS.register_module()
class SoundingScenesDataset(AVSBenchSemanticDataset):
    """Procedural scenes of preset ``demo``, written to disk.

    Write them with ``tools/dataset_converters/make_sounding_scenes.py``. All
    arguments are those of :class:`AVSBenchSemanticDataset`.
    """

    METAINFO = {
        'classes': PRESETS['demo'].class_names,
        'palette': PRESETS['demo'].palette,
    }


@DATASETS.register_module()
class HardSoundingScenesDataset(SoundingScenesDataset):
    """Procedural scenes of preset ``hard``, written to disk."""

    METAINFO = {
        'classes': PRESETS['hard'].class_names,
        'palette': PRESETS['hard'].palette,
    }
