from .av_mask2former_head import AVMask2FormerHead
from .base_av_head import BaseAVHead
from .cpm_head import CPMHead

__all__ = ['AVMask2FormerHead', 'BaseAVHead', 'CPMHead']
