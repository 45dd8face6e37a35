from .avsbench_object import AVSBenchObjectDataset
from .avsbench_semantic import AVSBenchSemanticDataset
from .base_avs_dataset import BaseAVSDataset
from .clip_collate import clip_collate
from .clip_dataset import ClipDataset
from .dataset_wrappers import CounterfactualAudioDataset
from .errors import (
    AudioReadError,
    DatasetIndexError,
    DatasetNotFoundError,
    FileReadError,
    FrameReadError,
    LabelReadError,
    SampleReadError,
)
from .folder_dataset import AVSFolderDataset
from .sounding_scenes import HardSoundingScenesDataset, SoundingScenesDataset
from .transforms import (
    CutAudioToFrame,
    LoadAudioFromFile,
    LoadAVSAnnotations,
    LoadBinaryAnnotations,
    LoadFrameFromFile,
    LoadOffscreenAudio,
    LoadSoundSources,
    LoadTranslatedAnnotations,
    PackAVSInputs,
    RandomRescale,
    RecordSoundingClasses,
    SwapStereoOnFlip,
)
from .vpo import VPODataset

__all__ = [
    'AVSFolderDataset',
    'AVSBenchObjectDataset',
    'AVSBenchSemanticDataset',
    'AudioReadError',
    'BaseAVSDataset',
    'ClipDataset',
    'CounterfactualAudioDataset',
    'CutAudioToFrame',
    'DatasetIndexError',
    'DatasetNotFoundError',
    'FileReadError',
    'FrameReadError',
    'LabelReadError',
    'LoadAVSAnnotations',
    'LoadAudioFromFile',
    'LoadBinaryAnnotations',
    'LoadFrameFromFile',
    'LoadOffscreenAudio',
    'LoadSoundSources',
    'LoadTranslatedAnnotations',
    'PackAVSInputs',
    'RandomRescale',
    'RecordSoundingClasses',
    'SampleReadError',
    'HardSoundingScenesDataset',
    'SoundingScenesDataset',
    'SwapStereoOnFlip',
    'VPODataset',
    'clip_collate',
]
