from .avsbench_semantic import AVSBenchSemanticDataset
from .base_avs_dataset import BaseAVSDataset
from .counterfactual_audio import CounterfactualAudioDataset
from .errors import (
    AudioReadError,
    DatasetIndexError,
    DatasetNotFoundError,
    FileReadError,
    FrameReadError,
    LabelReadError,
    SampleReadError,
)
from .sounding_scenes import SoundingScenesDataset
from .transforms import (
    CutAudioToFrame,
    LoadAudioFromFile,
    LoadAVSAnnotations,
    LoadFrameFromFile,
    LoadOffscreenAudio,
    PackAVSInputs,
    RandomRescale,
    RecordSoundingClasses,
    SwapStereoOnFlip,
)

__all__ = [
    'AVSBenchSemanticDataset',
    'AudioReadError',
    'BaseAVSDataset',
    'CounterfactualAudioDataset',
    'CutAudioToFrame',
    'DatasetIndexError',
    'DatasetNotFoundError',
    'FileReadError',
    'FrameReadError',
    'LabelReadError',
    'LoadAVSAnnotations',
    'LoadAudioFromFile',
    'LoadFrameFromFile',
    'LoadOffscreenAudio',
    'PackAVSInputs',
    'RandomRescale',
    'RecordSoundingClasses',
    'SampleReadError',
    'SoundingScenesDataset',
    'SwapStereoOnFlip',
]
