from .acp_loss import RatioMaskLoss
from .pcl_loss import PromptContrastiveLoss
from .set_criterion import SetCriterion
from .vcp_loss import FixedAssignmentMaskLoss

__all__ = [
    'FixedAssignmentMaskLoss',
    'PromptContrastiveLoss',
    'RatioMaskLoss',
    'SetCriterion',
]
