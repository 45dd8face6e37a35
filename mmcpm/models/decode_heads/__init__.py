from .av_mask2former_head import AVMask2FormerHead
from .avsegformer_head import AVSegFormerHead
from .avsegformer_star_head import AVSegFormerStarHead
from .base_av_head import BaseAVHead
from .cavp_head import CAVPHead
from .combo_head import COMBOHead
from .cpm_head import CPMHead
from .tpavi_head import TPAVIHead

__all__ = [
    'AVMask2FormerHead',
    'AVSegFormerHead',
    'AVSegFormerStarHead',
    'BaseAVHead',
    'CAVPHead',
    'COMBOHead',
    'CPMHead',
    'TPAVIHead',
]
