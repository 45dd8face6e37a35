from .frontend import AudioFrontend
from .vggish import VGGish

__all__ = ['AudioFrontend', 'VGGish']
