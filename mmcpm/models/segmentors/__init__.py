from .av_encoder_decoder import AVEncoderDecoder
from .av_tta import AVSegTTAModel
from .cavp_encoder_decoder import CAVPEncoderDecoder
from .combo_encoder_decoder import COMBOEncoderDecoder
from .cpm_encoder_decoder import CPMEncoderDecoder

__all__ = [
    'AVEncoderDecoder',
    'AVSegTTAModel',
    'CAVPEncoderDecoder',
    'COMBOEncoderDecoder',
    'CPMEncoderDecoder',
]
