"""Pyramid Vision Transformer v2 (Wang et al., CVMJ 2022) as published.

mmdet's implementation, with the two things that its results and its pretrained
weights depend on: the constant of some normalizations, and a weight file
that is read whole or refused.
"""

import torch.nn as nn
from mmdet.models.backbones.pvt import (
    PyramidVisionTransformerV2,
    SpatialReductionAttention,
    pvt_convert,
)
from mmdet.models.layers import PatchEmbed
from mmengine.model.weight_init import trunc_normal_
from mmengine.runner.checkpoint import CheckpointLoader
from mmseg.registry import MODELS
from torch import Tensor

from ..utils.pretrained import pretrained_cfg

# Of the normalizations after patch embedding and spatial reduction; those of
# blocks and stages have 1e-6, which mmdet uses everywhere.
REDUCTION_EPS = 1e-5


@MODELS.register_module()
class PVTv2(PyramidVisionTransformerV2):
    """PVTv2 with the published constants, of strides 4, 8, 16 and 32.

    Args:
        **kwargs: Arguments of mmdet's ``PyramidVisionTransformerV2``, such
            as ``num_layers``, ``mlp_ratios`` and ``drop_path_rate``.
            ``init_cfg=dict(type='Pretrained', checkpoint=...)`` reads a
            published file (pvt_v2_b5.pth).
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        for module in self.modules():
            if isinstance(module, PatchEmbed | SpatialReductionAttention):
                norm = getattr(module, 'norm', None)
                if isinstance(norm, nn.LayerNorm):
                    norm.eps = REDUCTION_EPS

    def init_weights(self) -> None:
        """Initialize, or read a published file and insist on every key.

        Raises:
            RuntimeError: If the file lacks a weight of this backbone or holds
                one of another size.
        """
        init_cfg = pretrained_cfg(self)
        if init_cfg is None:
            super().init_weights()
            for module in self.modules():
                # mmdet initializes linear layers only; this one is joined.
                if isinstance(module, nn.MultiheadAttention):
                    trunc_normal_(module.in_proj_weight, std=0.02)
            return
        path = init_cfg['checkpoint']
        checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
        try:
            self.load_state_dict(
                self.convert_pretrained(checkpoint), strict=True
            )
        except RuntimeError as error:
            depths = ', '.join(map(str, self.num_layers))
            raise RuntimeError(
                f'{path} is not a weight file for this PVTv2 ({depths} '
                f'blocks, at first with {self.embed_dims} channels). Expected '
                'the published keys patch_embed{1..4}, block{1..4}.N and '
                f'norm{{1..4}}. {error}'
            ) from error

    def convert_pretrained(self, checkpoint: dict) -> dict[str, Tensor]:
        """Give the weights of a published file the names of this module.

        Args:
            checkpoint (dict): Content of the file.

        Returns:
            dict[str, Tensor]: Weights without the classifier. Of a file that
            is no PVT, the weights as they are.
        """
        for wrapper in ('state_dict', 'model'):
            checkpoint = checkpoint.get(wrapper, checkpoint)
        try:
            return dict(pvt_convert(checkpoint))
        except (IndexError, KeyError, ValueError):
            return checkpoint
