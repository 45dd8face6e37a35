from .avsbench_jf import AVSBenchJFMetric
from .avss_legacy import AVSSLegacyMetric
from .confusion import frame_confusion
from .coverage import CoverageMetric
from .dataset_iou_f import (
    DatasetIoUFMetric,
    per_class_scores,
    scores_from_confusion,
)

__all__ = [
    'AVSBenchJFMetric',
    'AVSSLegacyMetric',
    'CoverageMetric',
    'DatasetIoUFMetric',
    'frame_confusion',
    'per_class_scores',
    'scores_from_confusion',
]
