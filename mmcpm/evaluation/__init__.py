from .functional import frame_confusion
from .metrics.avsbench_jf import AVSBenchJFMetric
from .metrics.avss_legacy import AVSSLegacyMetric
from .metrics.coverage import CoverageMetric
from .metrics.dataset_iou_f import (
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
