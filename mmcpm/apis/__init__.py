from .av_inferencer import AVSInferencer
from .inference import inference_av_model
from .model_loading import init_model
from .video_inference import Outputs, segment_video

__all__ = [
    'AVSInferencer',
    'Outputs',
    'inference_av_model',
    'init_model',
    'segment_video',
]
