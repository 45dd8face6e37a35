from .av_mask2former_head import AVMask2FormerHead
from .cpm_head import CPMHead

__all__ = ['AVMask2FormerHead', 'CPMHead']
