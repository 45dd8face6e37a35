from .audio import CutAudioToFrame, RecordSoundingClasses, SwapStereoOnFlip
from .formatting import PackAVSInputs
from .frame_loading import LoadAVSAnnotations, LoadFrameFromFile
from .loading import LoadAudioFromFile
from .offscreen import LoadOffscreenAudio
from .processing import RandomRescale

__all__ = [
    'CutAudioToFrame',
    'LoadAVSAnnotations',
    'LoadAudioFromFile',
    'LoadFrameFromFile',
    'LoadOffscreenAudio',
    'PackAVSInputs',
    'RandomRescale',
    'RecordSoundingClasses',
    'SwapStereoOnFlip',
]
