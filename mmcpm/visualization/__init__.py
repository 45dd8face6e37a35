from .avs_local_visualizer import AVSLocalVisualizer

__all__ = ['AVSLocalVisualizer']
