from .acp_loss import RatioMaskLoss
from .foreground_dice_loss import ForegroundDiceLoss
from .pcl_loss import PromptContrastiveLoss
from .pixel_contrastive_loss import PixelContrastiveLoss
from .set_criterion import SetCriterion
from .vcp_loss import FixedAssignmentMaskLoss

__all__ = [
    'FixedAssignmentMaskLoss',
    'ForegroundDiceLoss',
    'PixelContrastiveLoss',
    'PromptContrastiveLoss',
    'RatioMaskLoss',
    'SetCriterion',
]
