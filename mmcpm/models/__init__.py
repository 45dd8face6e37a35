from .assigners import FiniteHungarianAssigner
from .audio_frontends import AudioFrontend
from .backbones import VGGish
from .classifiers import GMMClassifier
from .decode_heads import AVMask2FormerHead, CPMHead
from .layers import AudioQueryDecoder, ClassPrompts, DeformablePixelDecoder
from .losses import (
    FixedAssignmentMaskLoss,
    PromptContrastiveLoss,
    RatioMaskLoss,
)
from .segmentors import AVEncoderDecoder, AVSegTTAModel

__all__ = [
    'AVEncoderDecoder',
    'AVMask2FormerHead',
    'AVSegTTAModel',
    'AudioFrontend',
    'AudioQueryDecoder',
    'CPMHead',
    'ClassPrompts',
    'DeformablePixelDecoder',
    'FiniteHungarianAssigner',
    'FixedAssignmentMaskLoss',
    'GMMClassifier',
    'PromptContrastiveLoss',
    'RatioMaskLoss',
    'VGGish',
]
