from .av_inferencer import AVSInferencer
from .inference import inference_av_model
from .model_loading import init_model
from .video_inference import segment_video
from .video_outputs import Outputs

__all__ = [
    'AVSInferencer',
    'Outputs',
    'inference_av_model',
    'init_model',
    'segment_video',
]
