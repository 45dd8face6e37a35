from .audio_features import AudioFeatures
from .audio_labels import get_audio_labels
from .av_prediction import AVPrediction

__all__ = ['AVPrediction', 'AudioFeatures', 'get_audio_labels']
