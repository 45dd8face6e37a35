"""CAVP: DeepLabV3+ whose pixels attend to one audio token.

Chen et al., "Unraveling Instance Associations: A Closer Look for Audio-Visual
Segmentation", CVPR 2024.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ...structures.audio_features import AudioFeatures
from ...structures.av_prediction import AVPrediction
from ..layers.audio_visual_attention import AudioToken, AudioVisualAttention
from ..layers.deeplab_aspp import DeepLabASPP
from ..losses.label_maps import read_label_maps
from .base_av_head import BaseAVHead


class PixelTokens(NamedTuple):
    """What the head makes of an image alone."""

    # Pixels of the finest level, [B, h * w, C].
    tokens: Tensor
    # Their height and width.
    size: tuple[int, int]


@MODELS.register_module()
class CAVPHead(BaseAVHead):
    """Per-pixel audio-visual head of CAVP.

    The image is encoded once; own and shuffled sounds are added to the same
    pixels (see CAVPEncoderDecoder).

    Args:
        in_channels (Sequence[int]): Channels of the image levels, fine to
            coarse; the first and the last are used.
        num_classes (int): Classes including background.
        audio_channels (int): Size of the audio embedding.
        aspp_channels (int): Channels of the pyramid pooling's result.
        low_channels (int): Channels that the finest level is reduced to.
            With ``aspp_channels`` it makes the width C of the pixels.
        projector_channels (int): Hidden width of the visual projector.
        channels (int): Width of the last two convolutions.
        num_heads (int): Attention heads.
        dilations (tuple[int]): Dilations of the pyramid pooling.
        norm_cfg (dict): Batch normalization.
        loss_decode (dict): Per-pixel classification loss, of mmseg.
        loss_contrast (dict, optional): Contrast of own and shuffled sounds,
            see PixelContrastiveLoss.
        init_cfg (dict, optional): Initialization.
        **kwargs: Arguments of BaseAVHead.
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        num_classes: int,
        audio_channels: int,
        aspp_channels: int = 256,
        low_channels: int = 48,
        projector_channels: int = 256,
        channels: int = 256,
        num_heads: int = 4,
        dilations: tuple[int, ...] = (6, 12, 18),
        norm_cfg: dict | None = None,
        loss_decode: dict,
        loss_contrast: dict | None = None,
        init_cfg: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(num_classes, init_cfg=init_cfg, **kwargs)
        norm_cfg = norm_cfg or dict(type='SyncBN', requires_grad=True)
        self.embed_dims = aspp_channels + low_channels
        self.audio_channels = audio_channels
        self.aspp = DeepLabASPP(
            in_channels=in_channels[-1],
            out_channels=aspp_channels,
            branch_channels=channels,
            dilations=dilations,
            norm_cfg=norm_cfg,
        )
        self.reduce = ConvModule(
            in_channels[0], low_channels, 1, norm_cfg=norm_cfg
        )
        self.visual_projector = nn.Sequential(
            nn.Linear(self.embed_dims, projector_channels),
            nn.GELU(),
            nn.Linear(projector_channels, self.embed_dims),
        )
        self.fusion = AudioVisualAttention(
            embed_dims=self.embed_dims,
            audio_dims=audio_channels,
            num_heads=num_heads,
        )
        self.last_conv = nn.Sequential(
            ConvModule(
                self.embed_dims, channels, 3, padding=1, norm_cfg=norm_cfg
            ),
            ConvModule(channels, channels, 3, padding=1, norm_cfg=norm_cfg),
        )
        self.classifier = nn.Conv2d(channels, num_classes, 1)
        self.loss_decode = MODELS.build(loss_decode)
        self.loss_contrast = None
        if loss_contrast is not None:
            self.loss_contrast = MODELS.build(loss_contrast)

    def encode_image(self, image_features: Sequence[Tensor]) -> PixelTokens:
        """Make pixels of an image: everything before the sound comes in.

        Args:
            image_features (Sequence[Tensor]): Levels, fine to coarse.

        Returns:
            PixelTokens: Of the finest level.
        """
        fine = self.reduce(image_features[0])
        coarse = F.interpolate(
            self.aspp(image_features[-1]),
            fine.shape[-2:],
            mode='bilinear',
            align_corners=True,
        )
        pixels = torch.cat([coarse, fine], 1).flatten(2).transpose(1, 2)
        # The projector replaces the pixels, nothing is added to them.
        pixels = self.visual_projector(pixels)
        return PixelTokens(
            self.fusion.encode_image(pixels), tuple(fine.shape[-2:])
        )

    def encode_audio(self, audio: AudioFeatures) -> AudioToken:
        """Make the audio token, once per image.

        Args:
            audio (AudioFeatures): With ``embedding``.

        Returns:
            AudioToken: What :meth:`predict` takes.

        Raises:
            ValueError: If there is no embedding of the right size.
        """
        self.check_embedding(audio.embedding)
        return self.fusion.encode_audio(audio.embedding)

    def check_embedding(self, embedding: Tensor | None) -> None:
        """Refuse what the audio token cannot be made of.

        Args:
            embedding (Tensor, optional): Audio embeddings, ``[B, D]``.
        """
        found = None if embedding is None else embedding.shape[-1]
        if found == self.audio_channels:
            return
        raise ValueError(
            f'CAVPHead expects an audio embedding of {self.audio_channels} '
            f'values, but got {"none" if found is None else found}. Use an '
            'audio backbone that gives one (VGGish(with_embedding=True), '
            'AudioResNet) and set its embedding_channels and '
            'decode_head.audio_channels to the same number.'
        )

    def fuse(self, image: PixelTokens, audio: AudioToken) -> Tensor:
        """Add one sound to every image.

        Args:
            image (PixelTokens): Result of :meth:`encode_image`.
            audio (AudioToken): Result of :meth:`encode_audio`.

        Returns:
            Tensor: Fused map, ``[B, C, h, w]``.
        """
        fused = self.fusion(image.tokens, audio)
        return fused.transpose(1, 2).unflatten(-1, image.size)

    def classify(self, fused: Tensor, size: tuple[int, int]) -> Tensor:
        """Score every class at every pixel.

        Args:
            fused (Tensor): ``[B, C, h, w]``.
            size (tuple[int, int]): Height and width of the scores.

        Returns:
            Tensor: ``[B, num_classes, *size]``.
        """
        return F.interpolate(
            self.classifier(self.last_conv(fused)),
            size,
            mode='bilinear',
            align_corners=False,
        )

    def loss(
        self,
        image_features: Sequence[Tensor],
        audio: AudioFeatures,
        data_samples: list[SegDataSample],
    ) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            image_features (Sequence[Tensor]): Levels, fine to coarse.
            audio (AudioFeatures): With ``embedding``, and ``shuffled`` for
                the contrastive loss.
            data_samples (list[SegDataSample]): With ``gt_sem_seg``.

        Returns:
            dict[str, Tensor]: ``loss_decode`` and, if it is configured,
            ``loss_contrast``.

        Raises:
            ValueError: If shuffled sounds are missing.
        """
        labels, _ = read_label_maps(
            data_samples, self.num_classes, self.ignore_index
        )
        labels = labels.long()
        image = self.encode_image(image_features)
        # 1. own sounds
        own = self.fuse(image, self.encode_audio(audio))
        scores = self.classify(own, labels.shape[-2:])
        losses = {
            'loss_decode': self.loss_decode(
                scores, labels, ignore_index=self.ignore_index
            )
        }
        if self.loss_contrast is None:
            return losses
        # 2. shuffled sounds: what does not match is background
        shuffled = getattr(audio, 'shuffled', None)
        if shuffled is None:
            raise ValueError(
                'loss_contrast needs shuffled sounds: set model.type to '
                'CAVPEncoderDecoder, or decode_head.loss_contrast to None.'
            )
        other = self.fuse(image, self.fusion.encode_audio(shuffled.embedding))
        silent = ~shuffled.matches[:, None, None] & (
            labels != self.ignore_index
        )
        losses['loss_contrast'] = self.loss_contrast(
            own,
            other,
            labels,
            labels.masked_fill(silent, 0),
            ignore_index=self.ignore_index,
        )
        return losses

    def predict(
        self,
        image_features: Sequence[Tensor],
        encoded_audio: Any,
        size: tuple[int, int],
    ) -> AVPrediction:
        """Score every class at every pixel.

        Args:
            image_features (Sequence[Tensor]): Levels, fine to coarse.
            encoded_audio (Any): Result of :meth:`encode_audio`.
            size (tuple[int, int]): Height and width of the scores.

        Returns:
            AVPrediction: Scores ``[B, num_classes, *size]``.
        """
        image = self.encode_image(image_features)
        return AVPrediction(
            self.classify(self.fuse(image, encoded_audio), size)
        )
