from .av_mask2former_head import AVMask2FormerHead
from .base_av_head import BaseAVHead
from .cavp_head import CAVPHead
from .cpm_head import CPMHead

__all__ = ['AVMask2FormerHead', 'BaseAVHead', 'CAVPHead', 'CPMHead']
