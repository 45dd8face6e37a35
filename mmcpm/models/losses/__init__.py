from .acp_loss import RatioMaskLoss
from .audio_visual_matching import AudioVisualMatchingLoss
from .foreground_dice_loss import ForegroundDiceLoss
from .inter_frame_loss import InterFrameLoss
from .pcl_loss import PromptContrastiveLoss
from .pixel_contrastive_loss import PixelContrastiveLoss
from .set_criterion import SetCriterion
from .vcp_loss import FixedAssignmentMaskLoss

__all__ = [
    'AudioVisualMatchingLoss',
    'FixedAssignmentMaskLoss',
    'ForegroundDiceLoss',
    'InterFrameLoss',
    'PixelContrastiveLoss',
    'PromptContrastiveLoss',
    'RatioMaskLoss',
    'SetCriterion',
]
