"""AVSegFormer's pixel decoder: a deformable encoder and a mask feature."""

import copy

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.models.layers import SinePositionalEncoding
from mmdet.models.layers.transformer.mask2former_layers import (
    Mask2FormerTransformerEncoder,
)
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor

from ..ops.ms_deform_attn import replace_ms_deform_attn
from .pixel_decoder import pixel_constants


@MODELS.register_module()
class AVSegFormerPixelDecoder(BaseModule):
    """Encodes the coarser levels and adds the finest of them to stride 4.

    Levels go fine to coarse through the encoder, where Mask2Former's go
    coarse to fine; positions are those of the pixels, not normalized.

    Args:
        in_channels (list[int]): Channels of the levels, fine to coarse; the
            first one is not encoded.
        channels (int): Channels of the results.
        norm_cfg (dict): Normalization of the projections.
        encoder (dict): Arguments of mmdet's Mask2FormerTransformerEncoder;
            its attention has one level less than ``in_channels``.
        positional_encoding (dict): Arguments of mmdet's
            SinePositionalEncoding.
        backend (str): See DeformablePixelDecoder.
    """

    def __init__(
        self,
        *,
        in_channels: list[int],
        channels: int,
        norm_cfg: dict,
        encoder: dict,
        positional_encoding: dict,
        backend: str = 'auto',
    ) -> None:
        super().__init__()
        conv_cfg = dict(bias=True, norm_cfg=norm_cfg, act_cfg=None)
        self.input_convs = nn.ModuleList(
            ConvModule(width, channels, 1, **conv_cfg) for width in in_channels
        )
        self.lateral_conv = ConvModule(channels, channels, 1, **conv_cfg)
        self.output_conv = ConvModule(
            channels, channels, 3, padding=1, bias=True, norm_cfg=norm_cfg
        )
        self.level_embed = nn.Embedding(len(in_channels) - 1, channels)
        self.encoder = Mask2FormerTransformerEncoder(**copy.deepcopy(encoder))
        self.positional_encoding = SinePositionalEncoding(
            **positional_encoding
        )
        levels = {layer.self_attn.num_levels for layer in self.encoder.layers}
        if levels != {len(in_channels) - 1}:
            raise ValueError(
                f'The encoder attends to {sorted(levels)} levels, but '
                f'{len(in_channels)} are given (in_channels), of which all '
                'but the finest are encoded: set encoder.layer_cfg.'
                f'self_attn_cfg.num_levels={len(in_channels) - 1}.'
            )
        replace_ms_deform_attn(self.encoder, backend)
        self._constants = {}

    def init_weights(self) -> None:
        """Initialize as the original does."""
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        nn.init.normal_(self.level_embed.weight)
        for layer in self.encoder.layers:
            layer.self_attn.init_weights()

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Encode a pyramid.

        Args:
            features (list[Tensor]): Fine to coarse, ``[B, c, h, w]``.

        Returns:
            tuple[Tensor, Tensor]: Mask feature ``[B, C, H, W]`` of the size
            of the finest level, and the memory of all others, fine to
            coarse, ``[B, tokens, C]``.
        """
        finest, *levels = (
            project(feature)
            for project, feature in zip(
                self.input_convs, features, strict=True
            )
        )
        sizes = tuple(tuple(level.shape[-2:]) for level in levels)
        encodings, centers = pixel_constants(
            self._constants, self.positional_encoding, sizes, finest.device
        )
        positions = [
            encoding + embedding
            for encoding, embedding in zip(
                encodings, self.level_embed.weight, strict=True
            )
        ]
        memory = self.encoder(
            query=torch.cat([level.flatten(2).mT for level in levels], 1),
            query_pos=torch.cat(positions, 1),
            key_padding_mask=None,
            spatial_shapes=sizes,
            level_start_index=None,
            valid_ratios=None,
            reference_points=centers,
        )
        height, width = sizes[0]
        encoded = memory[:, : height * width].mT.unflatten(2, sizes[0])
        encoded = F.interpolate(
            encoded,
            size=tuple(finest.shape[-2:]),
            mode='bilinear',
            align_corners=False,
        )
        return self.output_conv(self.lateral_conv(finest) + encoded), memory
