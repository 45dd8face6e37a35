from .atomic_checkpoint_hook import AtomicCheckpointHook
from .batch_norm_sync_hook import BatchNormSyncHook
from .compile_hook import CompileHook
from .epoch_seed_hook import EpochSeedHook
from .freeze_hook import FreezeHook
from .gradient_share_hook import GradientShareHook
from .idle_loss_hook import IdleLossHook
from .non_finite_guard_hook import NonFiniteError, NonFiniteGuardHook
from .prediction_writer_hook import PredictionWriterHook
from .progress_bar_hook import ProgressBarHook
from .sample_report_hook import SampleReportHook
from .stability_score_hook import StabilityScoreHook
from .visualization_hook import AVSVisualizationHook

__all__ = [
    'AVSVisualizationHook',
    'AtomicCheckpointHook',
    'BatchNormSyncHook',
    'CompileHook',
    'EpochSeedHook',
    'FreezeHook',
    'GradientShareHook',
    'IdleLossHook',
    'NonFiniteError',
    'NonFiniteGuardHook',
    'PredictionWriterHook',
    'ProgressBarHook',
    'SampleReportHook',
    'StabilityScoreHook',
]
