"""Mask2Former's pixel decoder without a wait for the device.

mmdet's makes positional encodings and reference points anew in every pass,
for every image, and reads the sizes of its levels back from the device.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmdet.models.layers import MSDeformAttnPixelDecoder
from mmseg.registry import MODELS
from torch import Tensor

from ..ops.ms_deform_attn import replace_ms_deform_attn
from ..ops.sampling_table import Sizes

# Image sizes whose constants are kept.
MAX_SIZES = 8


def pixel_centers(sizes: Sizes, device: torch.device) -> Tensor:
    """Places of all pixels of all levels, the image being 0..1.

    Args:
        sizes (Sizes): (height, width) of each level.
        device (torch.device): Device of the result.

    Returns:
        Tensor: (x, y), ``[tokens, 2]`` float32.
    """
    centers = []
    for height, width in sizes:
        y, x = torch.meshgrid(
            (torch.arange(height, device=device) + 0.5) / height,
            (torch.arange(width, device=device) + 0.5) / width,
            indexing='ij',
        )
        centers.append(torch.stack([x.flatten(), y.flatten()], -1))
    return torch.cat(centers)


def pixel_constants(
    kept: dict, encoding: nn.Module, sizes: Sizes, device: torch.device
) -> tuple[list[Tensor], Tensor]:
    """Positional encodings and reference points; kept per image size.

    Args:
        kept (dict): Where they are kept.
        encoding (nn.Module): mmdet's SinePositionalEncoding.
        sizes (Sizes): (height, width) of each level.
        device (torch.device): Device of the result.

    Returns:
        tuple[list[Tensor], Tensor]: Encodings ``[1, h * w, C]`` of each
        level, and (x, y) of all tokens, ``[1, tokens, 1, 2]``.
    """
    key = (sizes, device)
    if key not in kept:
        while len(kept) >= MAX_SIZES:
            kept.pop(next(iter(kept)))
        # Made in a test, they may be wanted in training later on.
        with torch.inference_mode(False), torch.no_grad():
            encodings = [
                encoding(
                    torch.zeros(1, *size, dtype=torch.bool, device=device)
                )
                .flatten(2)
                .mT.contiguous()
                for size in sizes
            ]
            centers = pixel_centers(sizes, device)
        kept[key] = (encodings, centers[None, :, None])
    return kept[key]


@MODELS.register_module()
class DeformablePixelDecoder(MSDeformAttnPixelDecoder):
    """mmdet's MSDeformAttnPixelDecoder; results and parameters are the same.

    Args:
        backend (str): What computes deformable attention: 'pytorch',
            'mmcv' (compiled) or 'deformops', or 'auto' for the fastest that
            is installed.
        **kwargs: Arguments of mmdet's MSDeformAttnPixelDecoder.
    """

    def __init__(self, *, backend: str = 'auto', **kwargs) -> None:
        super().__init__(**kwargs)
        replace_ms_deform_attn(self.encoder, backend)
        self._constants = {}

    def forward(self, feats: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Decode a pyramid.

        Args:
            feats (list[Tensor]): Fine to coarse, ``[B, c, h, w]``.

        Returns:
            tuple[Tensor, list[Tensor]]: Mask feature ``[B, C, H, W]`` of the
            finest size, and the ``num_outs`` coarsest maps, coarse to fine.
        """
        coarse = feats[::-1]
        levels = coarse[: self.num_encoder_levels]
        sizes = tuple(tuple(level.shape[-2:]) for level in levels)
        tokens = [
            project(level).flatten(2).mT
            for project, level in zip(self.input_convs, levels, strict=True)
        ]
        encodings, centers = pixel_constants(
            self._constants, self.postional_encoding, sizes, feats[0].device
        )
        positions = [
            encoding + embedding
            for encoding, embedding in zip(
                encodings, self.level_encoding.weight, strict=True
            )
        ]
        memory = self.encoder(
            query=torch.cat(tokens, 1),
            query_pos=torch.cat(positions, 1),
            key_padding_mask=None,
            spatial_shapes=sizes,
            level_start_index=None,
            valid_ratios=None,
            reference_points=centers,
        )
        maps = [
            part.mT.unflatten(2, size)
            for part, size in zip(
                memory.split([height * width for height, width in sizes], 1),
                sizes,
                strict=True,
            )
        ]
        for lateral, output, feature in zip(
            self.lateral_convs,
            self.output_convs,
            coarse[self.num_encoder_levels :],
            strict=True,
        ):
            feature = lateral(feature)
            coarser = F.interpolate(
                maps[-1],
                size=tuple(feature.shape[-2:]),
                mode='bilinear',
                align_corners=False,
            )
            maps.append(output(feature + coarser))
        return self.mask_feature(maps[-1]), maps[: self.num_outs]
