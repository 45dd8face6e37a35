from .acp_loss import RatioMaskLoss
from .pcl_loss import PromptContrastiveLoss
from .pixel_contrastive_loss import PixelContrastiveLoss
from .set_criterion import SetCriterion
from .vcp_loss import FixedAssignmentMaskLoss

__all__ = [
    'FixedAssignmentMaskLoss',
    'PixelContrastiveLoss',
    'PromptContrastiveLoss',
    'RatioMaskLoss',
    'SetCriterion',
]
