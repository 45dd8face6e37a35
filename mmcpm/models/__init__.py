from .assigners import FiniteHungarianAssigner
from .audio_frontends import (
    AudioFrontend,
    LogMelFrontend,
    MelDecibelFrontend,
)
from .backbones import AudioResNet, PVTv2, VGGish
from .classifiers import GMMClassifier
from .decode_heads import (
    AVMask2FormerHead,
    AVSegFormerHead,
    AVSegFormerStarHead,
    BaseAVHead,
    CAVPHead,
    CPMHead,
    TPAVIHead,
)
from .layers import (
    AudioQueryGenerator,
    AudioTransformerDecoder,
    AVSegFormerPixelDecoder,
    ClassPrompts,
    DeformablePixelDecoder,
)
from .losses import (
    AudioVisualMatchingLoss,
    FixedAssignmentMaskLoss,
    ForegroundDiceLoss,
    PixelContrastiveLoss,
    PromptContrastiveLoss,
    RatioMaskLoss,
    SetCriterion,
)
from .segmentors import (
    AVEncoderDecoder,
    AVSegTTAModel,
    CAVPEncoderDecoder,
    CPMEncoderDecoder,
)

__all__ = [
    'AVEncoderDecoder',
    'AVMask2FormerHead',
    'AVSegFormerHead',
    'AVSegFormerPixelDecoder',
    'AVSegFormerStarHead',
    'AVSegTTAModel',
    'AudioFrontend',
    'AudioQueryGenerator',
    'AudioResNet',
    'AudioVisualMatchingLoss',
    'AudioTransformerDecoder',
    'BaseAVHead',
    'CAVPEncoderDecoder',
    'CAVPHead',
    'CPMEncoderDecoder',
    'CPMHead',
    'ClassPrompts',
    'DeformablePixelDecoder',
    'FiniteHungarianAssigner',
    'FixedAssignmentMaskLoss',
    'ForegroundDiceLoss',
    'GMMClassifier',
    'LogMelFrontend',
    'MelDecibelFrontend',
    'PVTv2',
    'PixelContrastiveLoss',
    'PromptContrastiveLoss',
    'RatioMaskLoss',
    'SetCriterion',
    'TPAVIHead',
    'VGGish',
]
