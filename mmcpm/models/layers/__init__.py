from .audio_query_decoder import AudioQueryDecoder
from .class_prompts import ClassPrompts

__all__ = ['AudioQueryDecoder', 'ClassPrompts']
