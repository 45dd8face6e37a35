from .pvt_v2 import PVTv2
from .vggish import VGGish

__all__ = ['PVTv2', 'VGGish']
