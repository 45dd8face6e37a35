from .audio_transformer_decoder import AudioQueryDecoder
from .class_prompts import ClassPrompts
from .pixel_decoder import DeformablePixelDecoder

__all__ = ['AudioQueryDecoder', 'ClassPrompts', 'DeformablePixelDecoder']
