from .audio_query_generator import AudioQueryGenerator
from .audio_transformer_decoder import AudioTransformerDecoder
from .avsegformer_pixel_decoder import AVSegFormerPixelDecoder
from .audio_query_mlp import AudioQueryMLP
from .bilateral_fusion import BilateralFusion
from .class_prompts import ClassPrompts
from .pixel_decoder import DeformablePixelDecoder

__all__ = [
    'AVSegFormerPixelDecoder',
    'AudioQueryGenerator',
    'AudioTransformerDecoder',
    'AudioQueryMLP',
    'BilateralFusion',
    'ClassPrompts',
    'DeformablePixelDecoder',
]
