"""AVSegFormer: audio queries, a deformable encoder and dense prediction.

Gao et al., "AVSegFormer: Audio-Visual Segmentation with Transformer", AAAI
2024 (https://arxiv.org/abs/2307.01146).
"""

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch.nn as nn
from mmcv.cnn import ConvModule
from mmdet.models.layers import DetrTransformerDecoderLayer
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ...structures.audio_features import AudioFeatures
from ...structures.av_prediction import AVPrediction
from ..layers.channel_gate import ChannelGate
from ..losses.label_maps import read_label_maps
from ..ops.attention import replace_attention
from ..utils.binary_scores import two_class_scores
from ..utils.labeled_frames import select_labeled, weigh_losses
from ..utils.query_predictions import mask_logits
from .base_av_head import BaseAVHead


class QueriedAudio(NamedTuple):
    """What AVSegFormer knows of a sound before it sees an image."""

    # Audio token, [B, 1, C].
    token: Tensor
    # Queries that have attended to it, [B, N, C].
    query: Tensor


def project_embedding(
    audio: AudioFeatures, project: nn.Linear, owner: str
) -> Tensor:
    """Turn the global embedding of a sound into a token.

    Args:
        audio (AudioFeatures): With an embedding, ``[B, D]``.
        project (nn.Linear): From D to C channels.
        owner (str): Class of the head, for the message.

    Returns:
        Tensor: ``[B, 1, C]``.

    Raises:
        ValueError: If there is no embedding, or one of another size.
    """
    embedding = audio.embedding
    found = 'none' if embedding is None else f'{embedding.shape[1]} values'
    if found != f'{project.in_features} values':
        raise ValueError(
            f'{owner} reads a global embedding of {project.in_features} '
            f'values (audio_channels), but the audio backbone gives {found}. '
            "Use audio_backbone=dict(type='VGGish', with_embedding=True)."
        )
    return project(embedding)[:, None]


def frame_losses(
    logits: Tensor,
    mask_feature: Tensor,
    labels: Tensor,
    loss_decode: nn.Module,
    loss_mix: nn.Module | None,
    ignore_index: int = 255,
) -> dict[str, Tensor]:
    """Compare predictions with label maps.

    Args:
        logits (Tensor): ``[B, logits, H, W]``.
        mask_feature (Tensor): Gated, ``[B, C, h, w]``.
        labels (Tensor): Class ids, ``[B, H, W]``.
        loss_decode (nn.Module): Loss of the logits.
        loss_mix (nn.Module, optional): Loss of the channel mean of the mask
            feature.
        ignore_index (int): Label that is left out.

    Returns:
        dict[str, Tensor]: ``loss_decode`` and, if asked for, ``loss_mix``.
    """
    size = tuple(labels.shape[-2:])
    ignore = dict(ignore_index=ignore_index)
    logits = resize(logits, size, mode='bilinear')
    losses = {'loss_decode': loss_decode(logits, labels, **ignore)}
    if loss_mix is not None:
        mean = mask_feature.mean(1, keepdim=True)
        mean = resize(mean, size, mode='bilinear')
        losses['loss_mix'] = loss_mix(mean, labels, **ignore)
    return losses


@MODELS.register_module()
class AVSegFormerHead(BaseAVHead):
    """Decode head of AVSegFormer.

    Queries that have attended to the sound attend to all pixels of strides 8
    to 32. Their products with a mask feature, whose channels the sound gates,
    are features of every pixel for convolutions to classify.

    No frame sees another: the frames of clips are a batch, and frames without
    a label are left out of the losses beforehand.

    Args:
        in_channels (list[int]): Channels of the image levels, fine to coarse,
            strides 4 to 32.
        num_classes (int): Classes including background; of two, one logit is
            predicted.
        audio_channels (int): Size of the global audio embedding.
        channels (int): Channels C of queries and maps.
        num_queries (int): Queries.
        mlp_channels (int): Width of the two layers that mix the products of
            all queries.
        query_generator (dict): See AudioQueryGenerator.
        pixel_decoder (dict): See AVSegFormerPixelDecoder.
        decoder (dict): ``num_layers``, and ``layer_cfg`` with the arguments
            of mmdet's DetrTransformerDecoderLayer.
        loss_decode (dict): Loss of the prediction.
        loss_mix (dict, optional): Loss of the channel mean of the gated mask
            feature; ForegroundDiceLoss, or binary cross entropy.
        num_heads (int): Heads of the channel gate.
        **kwargs: Arguments of BaseAVHead.
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        num_classes: int,
        audio_channels: int = 128,
        channels: int = 256,
        num_queries: int = 300,
        mlp_channels: int = 2048,
        query_generator: dict,
        pixel_decoder: dict,
        decoder: dict,
        loss_decode: dict,
        loss_mix: dict | None = None,
        num_heads: int = 8,
        **kwargs,
    ) -> None:
        super().__init__(num_classes, **kwargs)
        self.num_logits = 1 if num_classes == 2 else num_classes
        self.audio_proj = nn.Linear(audio_channels, channels)
        self.query_feat = nn.Embedding(num_queries, channels)
        self.query_generator = MODELS.build(query_generator)
        # Added to what the generator makes of the table above.
        self.query_embed = nn.Embedding(num_queries, channels)
        self.pixel_decoder = MODELS.build(
            dict(pixel_decoder, in_channels=in_channels, channels=channels)
        )
        self.decoder = nn.ModuleList(
            DetrTransformerDecoderLayer(**copy.deepcopy(decoder['layer_cfg']))
            for _ in range(decoder['num_layers'])
        )
        replace_attention(self.decoder)
        self.channel_gate = ChannelGate(channels, num_heads)
        self.mask_mlp = nn.Sequential(
            ConvModule(num_queries, mlp_channels, 1),
            ConvModule(mlp_channels, mlp_channels, 1),
            nn.Conv2d(mlp_channels, channels, 1),
        )
        self.conv_seg = nn.Sequential(
            nn.Conv2d(channels, channels // 2, 3, padding=1),
            nn.Upsample(scale_factor=4, mode='bilinear', align_corners=False),
            nn.Conv2d(channels // 2, channels // 8, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels // 8, self.num_logits, 1, bias=False),
        )
        self.loss_decode = MODELS.build(loss_decode)
        self.loss_mix = MODELS.build(loss_mix) if loss_mix else None

    def init_weights(self) -> None:
        """Initialize as the original does."""
        super().init_weights()
        for module in (
            self.query_feat,
            self.query_embed,
            self.decoder,
            self.mask_mlp,
            self.conv_seg,
        ):
            for parameter in module.parameters():
                if parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter)

    def encode_audio(self, audio: AudioFeatures) -> QueriedAudio:
        """Let the queries attend to the sound.

        Args:
            audio (AudioFeatures): With an embedding.

        Returns:
            QueriedAudio: Token and queries.
        """
        token = project_embedding(audio, self.audio_proj, type(self).__name__)
        query = self.query_generator(self.query_feat.weight[None], token)
        return QueriedAudio(token, query + self.query_embed.weight)

    def decode(
        self, image_features: Sequence[Tensor], audio: QueriedAudio
    ) -> tuple[Tensor, Tensor]:
        """Predict logits.

        Args:
            image_features (Sequence[Tensor]): Fine to coarse, strides 4 to
                32.
            audio (QueriedAudio): Result of :meth:`encode_audio`.

        Returns:
            tuple[Tensor, Tensor]: Logits ``[B, logits, 4h, 4w]`` and the
            gated mask feature ``[B, C, h, w]``.
        """
        # 1. pixels attend to pixels
        mask_feature, memory = self.pixel_decoder(image_features)
        # 2. queries attend to pixels
        query = audio.query
        for layer in self.decoder:
            query = layer(query=query, key=memory, value=memory)
        # 3. the sound gates the channels
        gate = self.channel_gate(audio.token, mask_feature)
        mask_feature = mask_feature * gate[..., None, None]
        # 4. classify pixels by their products with the queries
        products = mask_logits(query, mask_feature)
        return (
            self.conv_seg(mask_feature + self.mask_mlp(products)),
            mask_feature,
        )

    def forward(
        self, image_features: Sequence[Tensor], audio: AudioFeatures
    ) -> Tensor:
        """Predict logits, at four times the size of the finest level.

        Args:
            image_features (Sequence[Tensor]): See :meth:`decode`.
            audio (AudioFeatures): See :meth:`encode_audio`.

        Returns:
            Tensor: ``[B, logits, H, W]``.
        """
        return self.decode(image_features, self.encode_audio(audio))[0]

    def loss(
        self,
        image_features: Sequence[Tensor],
        audio: AudioFeatures,
        data_samples: list[SegDataSample],
    ) -> dict[str, Tensor]:
        """Losses of the labeled frames.

        Args:
            image_features (Sequence[Tensor]): See :meth:`decode`.
            audio (AudioFeatures): See :meth:`encode_audio`.
            data_samples (list[SegDataSample]): With ``gt_sem_seg``.

        Returns:
            dict[str, Tensor]: ``loss_decode`` and, if there is one,
            ``loss_mix``.
        """
        image_features, audio, data_samples, factor = select_labeled(
            image_features, audio, data_samples
        )
        labels, _ = read_label_maps(
            data_samples, self.num_classes, self.ignore_index
        )
        logits, mask_feature = self.decode(
            image_features, self.encode_audio(audio)
        )
        losses = frame_losses(
            logits,
            mask_feature,
            labels.long(),
            self.loss_decode,
            self.loss_mix,
            self.ignore_index,
        )
        return weigh_losses(losses, factor)

    def predict(
        self,
        image_features: Sequence[Tensor],
        encoded_audio: QueriedAudio,
        size: tuple[int, int],
    ) -> AVPrediction:
        """Score every class at every pixel.

        Args:
            image_features (Sequence[Tensor]): See :meth:`decode`.
            encoded_audio (QueriedAudio): Result of :meth:`encode_audio`.
            size (tuple[int, int]): Height and width of the scores.

        Returns:
            AVPrediction: Logits; of two classes, 0 and the logit.
        """
        logits, _ = self.decode(image_features, encoded_audio)
        logits = resize(logits, size, mode='bilinear')
        if self.num_logits == 1:
            logits = two_class_scores(logits)
        return AVPrediction(logits)
