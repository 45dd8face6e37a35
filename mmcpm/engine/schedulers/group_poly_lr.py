"""Polynomial decay that leaves some parameters alone."""

from mmengine.optim import PolyLR
from mmseg.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class GroupPolyLR(PolyLR):
    """PolyLR for the groups of parameters that do not say ``constant_lr``.

    CAVP's learning rate decays for the vision, and is constant for the audio
    backbone. ``paramwise_cfg`` sets it::

        custom_keys={'audio_backbone': dict(constant_lr=True)}

    Args:
        *args: Arguments of mmengine's PolyLR.
        **kwargs: The same.
    """

    def _get_value(self) -> list[float]:
        """Learning rates of the groups."""
        groups = self.optimizer.param_groups
        return [
            group['lr'] if group.get('constant_lr') else value
            for group, value in zip(groups, super()._get_value(), strict=True)
        ]
