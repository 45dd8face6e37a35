"""COMBO's segmentor: a second image backbone reads the maskige of a frame."""

from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ..layers.maskige_gate import MaskigeGate
from .av_encoder_decoder import AVEncoderDecoder


@MODELS.register_module()
class COMBOEncoderDecoder(AVEncoderDecoder):
    """Segmentor that also sees a maskige: a picture of mask proposals.

    The picture, made beforehand by a segmenter of everything, travels as
    ``data_sample.maskige``, ``[3, H, W]`` uint8 like the frame (see
    LoadMaskige and PackMaskigeInputs). Its features are added to the frame's,
    level by level.

    Args:
        maskige_backbone (dict, optional): Backbone of the maskige, of the
            same levels as ``backbone``. None: no maskige; this is an
            AVEncoderDecoder then.
        maskige_channels (list[int], optional): Channels of its levels, fine
            to coarse. Defaults to ``decode_head.in_channels``.
        **kwargs: Arguments of AVEncoderDecoder.
    """

    def __init__(
        self,
        *,
        maskige_backbone: dict | None = None,
        maskige_channels: list[int] | None = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.maskige_backbone = None
        if maskige_backbone:
            self.maskige_backbone = MODELS.build(maskige_backbone)
            channels = maskige_channels or kwargs['decode_head']['in_channels']
            self.maskige_gates = nn.ModuleList(
                MaskigeGate(number) for number in channels
            )

    def stack_maskiges(
        self, inputs: Tensor, data_samples: list[SegDataSample] | None
    ) -> Tensor:
        """Batch the maskiges, normalized and padded as the frames are.

        Args:
            inputs (Tensor): Images ``[B, 3, H, W]``.
            data_samples (list[SegDataSample], optional): With ``maskige``.
                If None, pictures without content are taken.

        Returns:
            Tensor: ``[B, 3, H, W]``, 0 beyond the frames.

        Raises:
            KeyError: If a data sample carries no maskige.
            ValueError: If one is larger than the frames of the batch.
        """
        if data_samples is None:
            return torch.zeros_like(inputs)
        preprocessor = self.data_preprocessor
        height, width = inputs.shape[-2:]
        pictures = []
        for sample in data_samples:
            where = sample.metainfo.get('img_path', 'an image')
            if 'maskige' not in sample:
                raise KeyError(
                    f'The data sample of {where} carries no maskige, but '
                    'model.maskige_backbone is set. The pipeline needs '
                    'LoadMaskige and PackMaskigeInputs (in the place of '
                    'PackAVSInputs); or set model.maskige_backbone=None.'
                )
            picture = sample.maskige.to(inputs.device)
            right = width - picture.shape[-1]
            bottom = height - picture.shape[-2]
            if right < 0 or bottom < 0:
                raise ValueError(
                    f'The maskige of {where} has the shape '
                    f'{tuple(picture.shape)} (channels, height, width) and is '
                    f'larger than the frames of the batch, {height} x '
                    f'{width}. LoadMaskige must stand before the transforms '
                    'that change the size of the frame.'
                )
            if preprocessor.channel_conversion:
                picture = picture.flip(0)
            picture = (picture.float() - preprocessor.mean) / preprocessor.std
            pictures.append(F.pad(picture, (0, right, 0, bottom)))
        return torch.stack(pictures).to(inputs.dtype)

    def with_maskiges(
        self, inputs: Tensor, data_samples: list[SegDataSample] | None
    ) -> Tensor:
        """Put the maskiges into channels 3 to 5 of the images.

        There, windows and everything else treats both alike.

        Args:
            inputs (Tensor): Images ``[B, 3, H, W]``.
            data_samples (list[SegDataSample], optional): With ``maskige``.

        Returns:
            Tensor: ``[B, 6, H, W]``; the images alone without a
            ``maskige_backbone``.
        """
        if self.maskige_backbone is None:
            return inputs
        maskiges = self.stack_maskiges(inputs, data_samples)
        return torch.cat([inputs, maskiges], 1)

    def extract_feat(self, inputs: Tensor) -> list[Tensor]:
        """Encode images and maskiges.

        Args:
            inputs (Tensor): ``[B, 6, H, W]``, or ``[B, 3, H, W]`` without a
                ``maskige_backbone``.

        Returns:
            list[Tensor]: Levels, fine to coarse.
        """
        if self.maskige_backbone is None:
            return super().extract_feat(inputs)
        levels = super().extract_feat(inputs[:, :3])
        maskige_levels = self.maskige_backbone(inputs[:, 3:])
        return [
            gate(level, maskige_level)
            for gate, level, maskige_level in zip(
                self.maskige_gates, levels, maskige_levels, strict=True
            )
        ]

    def loss(
        self, inputs: Tensor, data_samples: list[SegDataSample]
    ) -> dict[str, Tensor]:
        """Losses of a batch, see AVEncoderDecoder.

        Args:
            inputs (Tensor): Images ``[B, 3, H, W]``, normalized.
            data_samples (list[SegDataSample]): With ``maskige``.

        Returns:
            dict[str, Tensor]: Loss terms, prefixed with ``decode.``.
        """
        inputs = self.with_maskiges(inputs, data_samples)
        return super().loss(inputs, data_samples)

    def predict(
        self, inputs: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Segment a batch, see AVEncoderDecoder.

        Args:
            inputs (Tensor): Images ``[B, 3, H, W]``, normalized, padded.
            data_samples (list[SegDataSample], optional): With ``maskige``.

        Returns:
            list[SegDataSample]: The maskige is not kept.
        """
        inputs = self.with_maskiges(inputs, data_samples)
        results = super().predict(inputs, data_samples)
        for result in results:
            result.pop('maskige', None)
        return results

    def _forward(
        self, inputs: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> Any:
        """Raw outputs of the head (mode 'tensor')."""
        inputs = self.with_maskiges(inputs, data_samples)
        return super()._forward(inputs, data_samples)
