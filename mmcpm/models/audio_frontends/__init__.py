from .log_mel import LogMelFrontend, MelDecibelFrontend
from .stft import AudioFrontend

__all__ = ['AudioFrontend', 'LogMelFrontend', 'MelDecibelFrontend']
