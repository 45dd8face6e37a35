from .audio import CutAudioToFrame, RecordSoundingClasses, SwapStereoOnFlip
from .formatting import PackAVSInputs
from .frame_loading import LoadAVSAnnotations, LoadFrameFromFile
from .label_values import LoadBinaryAnnotations, LoadTranslatedAnnotations
from .loading import LoadAudioFromFile
from .offscreen import LoadOffscreenAudio
from .processing import RandomRescale
from .resizing import ResizeAsOriginal
from .sound_sources import LoadSoundSources

__all__ = [
    'CutAudioToFrame',
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
    'ResizeAsOriginal',
    'SwapStereoOnFlip',
]
