from .audio_resnet import AudioResNet
from .pvt_v2 import PVTv2
from .vggish import VGGish

__all__ = ['AudioResNet', 'PVTv2', 'VGGish']
