from .assigners import FiniteHungarianAssigner
from .audio_frontends import AudioFrontend, LogMelFrontend, MelDecibelFrontend
from .backbones import AudioResNet, PVTv2, VGGish
from .classifiers import GMMClassifier
from .decode_heads import (
    AVMask2FormerHead,
    AVSegFormerHead,
    AVSegFormerStarHead,
    BaseAVHead,
    CAVPHead,
    COMBOHead,
    CPMHead,
    TPAVIHead,
)
from .layers import (
    AudioQueryGenerator,
    AudioQueryMLP,
    AudioTransformerDecoder,
    AVSegFormerPixelDecoder,
    BilateralFusion,
    ClassPrompts,
    DeformablePixelDecoder,
)
from .losses import (
    AudioVisualMatchingLoss,
    FixedAssignmentMaskLoss,
    ForegroundDiceLoss,
    InterFrameLoss,
    PixelContrastiveLoss,
    PromptContrastiveLoss,
    RatioMaskLoss,
    SetCriterion,
)
from .segmentors import (
    AVEncoderDecoder,
    AVSegTTAModel,
    CAVPEncoderDecoder,
    COMBOEncoderDecoder,
    CPMEncoderDecoder,
)
from .utils import SoundBank

__all__ = [
    'AVEncoderDecoder',
    'AVMask2FormerHead',
    'AVSegFormerHead',
    'AVSegFormerPixelDecoder',
    'AVSegFormerStarHead',
    'AVSegTTAModel',
    'AudioFrontend',
    'AudioQueryGenerator',
    'AudioQueryMLP',
    'AudioResNet',
    'AudioTransformerDecoder',
    'AudioVisualMatchingLoss',
    'BaseAVHead',
    'BilateralFusion',
    'CAVPEncoderDecoder',
    'CAVPHead',
    'COMBOEncoderDecoder',
    'COMBOHead',
    'CPMEncoderDecoder',
    'CPMHead',
    'ClassPrompts',
    'DeformablePixelDecoder',
    'FiniteHungarianAssigner',
    'FixedAssignmentMaskLoss',
    'ForegroundDiceLoss',
    'GMMClassifier',
    'InterFrameLoss',
    'LogMelFrontend',
    'MelDecibelFrontend',
    'PVTv2',
    'PixelContrastiveLoss',
    'PromptContrastiveLoss',
    'RatioMaskLoss',
    'SetCriterion',
    'SoundBank',
    'TPAVIHead',
    'VGGish',
]
