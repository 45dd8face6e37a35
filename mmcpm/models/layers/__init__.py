from .audio_query_decoder import AudioQueryDecoder
from .class_prompts import ClassPrompts
from .pixel_decoder import DeformablePixelDecoder

__all__ = ['AudioQueryDecoder', 'ClassPrompts', 'DeformablePixelDecoder']
