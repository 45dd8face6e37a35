from .audio_query_generator import AudioQueryGenerator
from .audio_query_mlp import AudioQueryMLP
from .audio_transformer_decoder import AudioTransformerDecoder
from .avsegformer_pixel_decoder import AVSegFormerPixelDecoder
from .bilateral_fusion import BilateralFusion
from .class_prompts import ClassPrompts
from .pixel_decoder import DeformablePixelDecoder

__all__ = [
    'AVSegFormerPixelDecoder',
    'AudioQueryGenerator',
    'AudioQueryMLP',
    'AudioTransformerDecoder',
    'BilateralFusion',
    'ClassPrompts',
    'DeformablePixelDecoder',
]
