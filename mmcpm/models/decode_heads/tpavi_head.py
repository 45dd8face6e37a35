"""Decode head of TPAVI (Zhou et al., ECCV 2022, and AVSBench-Semantic).

Image levels -> context (dilated convolutions) -> attention of all pixels of a
clip to its sounds -> fusion from coarse to fine -> logits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ...structures.audio_features import AudioFeatures
from ...structures.av_prediction import AVPrediction
from ...structures.clips import is_scored
from ..layers.tpavi import TPAVIBlock
from ..layers.tpavi_decoder import FeatureFusion, SummedDilatedConvs
from ..losses.label_maps import read_label_maps
from ..utils.binary_scores import two_class_scores
from .base_av_head import BaseAVHead


@dataclass
class TPAVIOutput:
    """What the head computes of a batch.

    Attributes:
        logits (Tensor): ``[B, classes, 2 h, 2 w]``, or one class, of twice
            the strides of the finest level; zero in padded frames.
        visual_maps (list[Tensor]): Maps after the attention, fine to coarse,
            ``[B, C, h, w]``, as the matching loss takes them.
        audio (list[Tensor]): Sounds of the same levels, ``[B, C]``.
    """

    logits: Tensor
    visual_maps: list[Tensor]
    audio: list[Tensor]


@MODELS.register_module()
class TPAVIHead(BaseAVHead):
    """Attention between the pixels and the sounds of a clip.

    Checkpoints depend on what AVSBench's program does, also where the paper
    says nothing of it. Beside what has an argument here:

    - the fused maps are resized with aligned corners, the logits without;
    - the convolution before the last resizing has no activation;
    - frames that only pad a clip (``AudioFeatures.valid``) are set to zero
      after every stage. Their zeros take part in the attention of
      their clip and count in its number of pixels. They are in no loss, and
      their logits are zero.

    Args:
        in_channels (Sequence[int]): Channels of the image levels.
        num_classes (int): Classes including background.
        audio_channels (int): Size of the audio embedding.
        channels (int): Channels of all maps.
        single_logit (bool): Whether two classes share one logit, of the
            foreground. The scores are then 0 and the logit.
        group_length (int, optional): Frames that attend to each other. The
            program cuts clips of ten frames in two. Clips whose length is
            no multiple of it, and all if it is None, are one group.
        audio_bias (bool): Whether the projections of the audio have a bias:
            in the models of S4 and MS3, but not in that of AVSS.
        rectified_skip (bool): Whether skip connections begin after the ReLU,
            since it works in place; see ResidualConvUnit.
        rectified_maps (bool): Whether the matching loss takes the maps after
            that ReLU.
        norm_cfg (dict, optional): Normalization in the attention.
        loss_decode (dict): Loss of the logits, mmseg's CrossEntropyLoss.
        loss_matching (dict, optional): AudioVisualMatchingLoss.
        **kwargs: Arguments of BaseAVHead.
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        num_classes: int,
        loss_decode: dict,
        audio_channels: int = 128,
        channels: int = 256,
        single_logit: bool = False,
        group_length: int | None = 5,
        audio_bias: bool = True,
        rectified_skip: bool = True,
        rectified_maps: bool = True,
        norm_cfg: dict | None = None,
        loss_matching: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(num_classes, **kwargs)
        if single_logit and num_classes != 2:
            raise ValueError(
                'single_logit needs num_classes=2, background and foreground, '
                f'but got {num_classes}.'
            )
        self.in_channels = tuple(in_channels)
        self.single_logit = single_logit
        self.group_length = group_length
        self.rectified_maps = rectified_maps
        last = len(self.in_channels) - 1
        self.contexts = nn.ModuleList(
            SummedDilatedConvs(width, channels) for width in self.in_channels
        )
        self.attentions = nn.ModuleList(
            TPAVIBlock(
                channels,
                audio_channels,
                audio_bias=audio_bias,
                norm_cfg=norm_cfg,
            )
            for _ in self.in_channels
        )
        self.fusions = nn.ModuleList(
            FeatureFusion(channels, level == last, rectified_skip)
            for level in range(last + 1)
        )
        self.output = nn.Sequential(
            nn.Conv2d(channels, channels // 2, 3, padding=1),
            nn.Upsample(scale_factor=2, mode='bilinear', align_corners=False),
            nn.Conv2d(channels // 2, channels // 8, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels // 8, 1 if single_logit else num_classes, 1),
        )
        self.loss_decode = MODELS.build(loss_decode)
        self.loss_matching = (
            MODELS.build(loss_matching) if loss_matching else None
        )

    def decode(
        self, image_features: Sequence[Tensor], audio: AudioFeatures
    ) -> TPAVIOutput:
        """Compute logits, and what the matching loss compares.

        Args:
            image_features (Sequence[Tensor]): Levels, fine to coarse, each
                half as large as the one before it, ``[B, C, h, w]``.
            audio (AudioFeatures): With ``embedding``, of whole clips.

        Returns:
            TPAVIOutput: See there.

        Raises:
            ValueError: If there is no embedding, or the batch is not whole
                clips.
        """
        num_frames = self._frames_per_group(len(image_features[0]), audio)
        embedding = hide_padding(audio.embedding, audio.valid)
        # 1. context, 2. attention to the sounds
        maps, sounds = [], []
        for x, context, attention in zip(
            image_features, self.contexts, self.attentions, strict=True
        ):
            x = hide_padding(context(x), audio.valid)
            x, sound = attention(x, embedding, num_frames)
            maps.append(hide_padding(x, audio.valid))
            sounds.append(sound)
        # 3. from coarse to fine
        fused = None
        for level in reversed(range(len(maps))):
            size = maps[level - 1].shape[-2:] if level else None
            fused = self.fusions[level](maps[level], fused, size)
            fused = hide_padding(fused, audio.valid)
        # 4. logits
        logits = hide_padding(self.output(fused), audio.valid)
        if self.rectified_maps:
            maps = [F.relu(level) for level in maps]
        return TPAVIOutput(logits, maps, sounds)

    def _frames_per_group(self, batch: int, audio: AudioFeatures) -> int:
        """Number of frames that attend to each other."""
        if audio.embedding is None:
            raise ValueError(
                'TPAVIHead needs an audio embedding [B, D], but the audio '
                'backbone gives none. Use VGGish with with_embedding=True as '
                'model.audio_backbone.'
            )
        if len(audio.embedding) != batch or batch % audio.clip_length:
            raise ValueError(
                f'{batch} frames with {len(audio.embedding)} sounds are not '
                f'whole clips of {audio.clip_length} frames.'
            )
        group = self.group_length
        if group and audio.clip_length % group == 0:
            return group
        return audio.clip_length

    def loss(
        self,
        image_features: Sequence[Tensor],
        audio: AudioFeatures,
        data_samples: list[SegDataSample],
    ) -> dict[str, Tensor]:
        """Per-pixel loss and matching loss of the labeled frames.

        Args:
            image_features (Sequence[Tensor]): See :meth:`decode`.
            audio (AudioFeatures): See :meth:`decode`.
            data_samples (list[SegDataSample]): With ``gt_sem_seg``.

        Returns:
            dict[str, Tensor]: ``loss_decode`` and, if there is such a loss,
            ``loss_matching``; zero if no frame is labeled.
        """
        output = self.decode(image_features, audio)
        scored = [is_scored(sample.metainfo) for sample in data_samples]
        scored = torch.tensor(scored, device=output.logits.device)
        labels, _ = read_label_maps(
            data_samples, self.num_classes, self.ignore_index
        )
        logits, labels = output.logits[scored], labels[scored]
        if logits.shape[-2:] != labels.shape[-2:]:
            logits = resize(logits, tuple(labels.shape[-2:]))
        losses = {
            'loss_decode': self.loss_decode(
                logits, labels, ignore_index=self.ignore_index
            )
            if len(logits)
            else output.logits.sum() * 0
        }
        if self.loss_matching is not None:
            losses['loss_matching'] = self.loss_matching(
                logits,
                [level[scored] for level in output.visual_maps],
                [level[scored] for level in output.audio],
            )
        return losses

    def predict(
        self,
        image_features: Sequence[Tensor],
        encoded_audio: AudioFeatures,
        size: tuple[int, int],
    ) -> AVPrediction:
        """Score every class at every pixel.

        Args:
            image_features (Sequence[Tensor]): See :meth:`decode`.
            encoded_audio (AudioFeatures): See :meth:`decode`.
            size (tuple[int, int]): Height and width of the scores.

        Returns:
            AVPrediction: Logits; of a single one, 0 and the logit.
        """
        logits = self.decode(image_features, encoded_audio).logits
        if tuple(logits.shape[-2:]) != tuple(size):
            logits = resize(logits, size)
        if self.single_logit:
            logits = two_class_scores(logits)
        return AVPrediction(logits)


def hide_padding(x: Tensor, valid: Tensor | None) -> Tensor:
    """Set frames that only fill up a clip to zero.

    Args:
        x (Tensor): ``[B, ...]``.
        valid (Tensor, optional): ``[B]`` bool; None: all are frames.

    Returns:
        Tensor: The same shape.
    """
    if valid is None:
        return x
    # In place of a product, which NaN would survive.
    return torch.where(valid.view(-1, *[1] * (x.dim() - 1)), x, 0)


def resize(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize logits to another size, bilinearly."""
    return F.interpolate(logits, size, mode='bilinear', align_corners=False)
