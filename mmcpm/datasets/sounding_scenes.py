"""Sounding scenes as a dataset: AVSBench-Semantic with classes of its own."""

from mmseg.registry import DATASETS

from .avsbench_semantic import AVSBenchSemanticDataset


@DATASETS.register_module()
class SoundingScenesDataset(AVSBenchSemanticDataset):
    """Procedural scenes of preset ``demo``, written to disk.

    Write them with ``tools/dataset_converters/make_sounding_scenes.py``. All
    arguments are those of :class:`AVSBenchSemanticDataset`.
    """

    METAINFO = {
        'classes': (
            'background', 'bell', 'drum', 'siren', 'cricket', 'kettle',
            'engine', 'fountain', 'lark',
        ),
        'palette': [
            [0, 0, 0], [255, 214, 0], [230, 25, 75], [0, 90, 255],
            [60, 180, 75], [240, 50, 230], [245, 130, 48], [70, 240, 240],
            [145, 70, 255],
        ],
    }  # fmt: skip


@DATASETS.register_module()
class HardSoundingScenesDataset(SoundingScenesDataset):
    """Procedural scenes of preset ``hard``, written to disk."""

    METAINFO = {
        'classes': (
            *SoundingScenesDataset.METAINFO['classes'],
            'clock', 'fan', 'violin', 'frog',
        ),
        'palette': [
            *SoundingScenesDataset.METAINFO['palette'],
            [170, 255, 195], [128, 128, 0], [170, 110, 40], [0, 128, 128],
        ],
    }  # fmt: skip
