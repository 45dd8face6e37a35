from .audio import CutAudioToFrame, RecordSoundingClasses, SwapStereoOnFlip
from .audio_loading import LoadAudioFromFile
from .formatting import PackAVSInputs
from .label_values import LoadBinaryAnnotations, LoadTranslatedAnnotations
from .loading import LoadAVSAnnotations, LoadFrameFromFile
from .maskige import LoadMaskige, PackMaskigeInputs, SplitMaskige
from .offscreen import LoadOffscreenAudio
from .resizing import RandomRescale, ResizeAsOriginal
from .sound_sources import LoadSoundSources

__all__ = [
    'CutAudioToFrame',
    'LoadAVSAnnotations',
    'LoadAudioFromFile',
    'LoadBinaryAnnotations',
    'LoadFrameFromFile',
    'LoadMaskige',
    'LoadOffscreenAudio',
    'LoadSoundSources',
    'LoadTranslatedAnnotations',
    'PackAVSInputs',
    'PackMaskigeInputs',
    'RandomRescale',
    'RecordSoundingClasses',
    'ResizeAsOriginal',
    'SplitMaskige',
    'SwapStereoOnFlip',
]
