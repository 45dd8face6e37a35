from .assigners import FiniteHungarianAssigner
from .audio_frontends import AudioFrontend
from .backbones import VGGish
from .classifiers import GMMClassifier
from .decode_heads import AVMask2FormerHead, BaseAVHead, CPMHead
from .layers import (
    AudioTransformerDecoder,
    ClassPrompts,
    DeformablePixelDecoder,
)
from .losses import (
    FixedAssignmentMaskLoss,
    PromptContrastiveLoss,
    RatioMaskLoss,
    SetCriterion,
)
from .segmentors import AVEncoderDecoder, AVSegTTAModel, CPMEncoderDecoder
from .utils.binary_scores import two_class_scores

__all__ = [
    'AVEncoderDecoder',
    'AVMask2FormerHead',
    'AVSegTTAModel',
    'AudioFrontend',
    'AudioTransformerDecoder',
    'BaseAVHead',
    'CPMEncoderDecoder',
    'CPMHead',
    'ClassPrompts',
    'DeformablePixelDecoder',
    'FiniteHungarianAssigner',
    'FixedAssignmentMaskLoss',
    'GMMClassifier',
    'PromptContrastiveLoss',
    'RatioMaskLoss',
    'SetCriterion',
    'VGGish',
    'two_class_scores',
]
