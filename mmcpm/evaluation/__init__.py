from .coverage import CoverageMetric
from .dataset_iou_f import (
    DatasetIoUFMetric,
    frame_confusion,
    per_class_scores,
    scores_from_confusion,
)

__all__ = [
    'CoverageMetric',
    'DatasetIoUFMetric',
    'frame_confusion',
    'per_class_scores',
    'scores_from_confusion',
]
