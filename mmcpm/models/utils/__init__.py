from .sound_bank import SoundBank

__all__ = ['SoundBank']
