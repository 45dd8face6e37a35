from .stft import AudioFrontend

__all__ = ['AudioFrontend']
