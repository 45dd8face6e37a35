from .fixed_assignment_mask_loss import FixedAssignmentMaskLoss
from .prompt_contrastive_loss import PromptContrastiveLoss
from .ratio_mask_loss import RatioMaskLoss

__all__ = [
    'FixedAssignmentMaskLoss',
    'PromptContrastiveLoss',
    'RatioMaskLoss',
]
