from .audio_transformer_decoder import AudioTransformerDecoder
from .class_prompts import ClassPrompts
from .pixel_decoder import DeformablePixelDecoder

__all__ = ['AudioTransformerDecoder', 'ClassPrompts', 'DeformablePixelDecoder']
