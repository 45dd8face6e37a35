"""AVSegFormer*: AVSegFormer rebuilt on Mask2Former.

The CPM paper (https://arxiv.org/abs/2407.05358) modifies AVSegFormer with
Mask2Former "to encourage a fair comparison", as its baseline (Table 4, row
1). It says no more: here, what AVSegFormer does with the sound is kept, and
what it does with the image is Mask2Former's.
"""

from collections.abc import Sequence

import torch.nn as nn
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ...structures.audio_features import AudioFeatures
from ...structures.av_prediction import AVPrediction
from ..layers.channel_gate import ChannelGate
from ..utils.labeled_frames import select_labeled, weigh_losses
from ..utils.query_predictions import PixelDecoderOutput, QueryPredictions
from .av_mask2former_head import AVMask2FormerHead
from .avsegformer_head import QueriedAudio, project_embedding


@MODELS.register_module()
class AVSegFormerStarHead(AVMask2FormerHead):
    """Mask2Former with AVSegFormer's query generator, gate and mixing loss.

    Args:
        audio_query_decoder (dict): See AudioQueryGenerator.
        audio_channels (int): Size of the global audio embedding.
        loss_mix (dict, optional): Loss of the channel mean of the gated mask
            feature, see ForegroundDiceLoss.
        num_gate_heads (int): Heads of the channel gate.
        **kwargs: Arguments of AVMask2FormerHead.
    """

    def __init__(
        self,
        *,
        audio_query_decoder: dict,
        audio_channels: int = 128,
        loss_mix: dict | None = None,
        num_gate_heads: int = 8,
        **kwargs,
    ) -> None:
        super().__init__(audio_query_decoder=audio_query_decoder, **kwargs)
        channels = self.query_feat.embedding_dim
        self.audio_proj = nn.Linear(audio_channels, channels)
        self.channel_gate = ChannelGate(channels, num_gate_heads)
        self.loss_mix = MODELS.build(loss_mix) if loss_mix else None

    def init_weights(self) -> None:
        """Initialize what AVSegFormer adds as AVSegFormer does."""
        super().init_weights()
        self.audio_proj.reset_parameters()
        self.channel_gate.init_weights()

    def encode_audio(self, audio: AudioFeatures) -> QueriedAudio:
        """Let the queries attend to the sound.

        Args:
            audio (AudioFeatures): With an embedding.

        Returns:
            QueriedAudio: Token and queries.
        """
        token = project_embedding(audio, self.audio_proj, type(self).__name__)
        query = self.audio_query_decoder(self.query_feat.weight[None], token)
        return QueriedAudio(token, query)

    def gate_channels(
        self, pixels: PixelDecoderOutput, token: Tensor
    ) -> PixelDecoderOutput:
        """Weigh the channels of the mask feature by the sound.

        The map is left as it is: a factor per channel commutes with the
        product that makes a mask, so the mask embeddings take it.

        Args:
            pixels (PixelDecoderOutput): Features of the images.
            token (Tensor): Audio token, ``[B, 1, C]``.

        Returns:
            PixelDecoderOutput: With the factors.
        """
        gate = self.channel_gate(token, pixels.mask_feature)
        return pixels._replace(channel_gate=gate)

    def embed_masks(self, state: Tensor, pixels: PixelDecoderOutput) -> Tensor:
        """Turn queries into the factors of their masks, gate included.

        Args:
            state (Tensor): Normalized queries, ``[B, T, C]``.
            pixels (PixelDecoderOutput): With the factors of the channels.

        Returns:
            Tensor: ``[B, T, C]``.
        """
        embedding = super().embed_masks(state, pixels)
        return embedding * pixels.channel_gate[:, None]

    def _decode_queries(
        self, image_features: Sequence[Tensor], audio: AudioFeatures
    ) -> tuple[PixelDecoderOutput, QueryPredictions]:
        """Attend to the sound, then to the image."""
        encoded = self.encode_audio(audio)
        pixels = self.forward_pixel_decoder(image_features)
        pixels = self.gate_channels(pixels, encoded.token)
        _, query_pos = self.init_queries(len(encoded.query))
        return pixels, self.decode(encoded.query, query_pos, pixels)

    def loss(
        self,
        image_features: Sequence[Tensor],
        audio: AudioFeatures,
        data_samples: list[SegDataSample],
    ) -> dict[str, Tensor]:
        """Mask2Former's losses and the mixing loss, of the labeled frames.

        Args:
            image_features (Sequence[Tensor]): Fine to coarse, strides 4 to
                32.
            audio (AudioFeatures): With an embedding.
            data_samples (list[SegDataSample]): With ``gt_sem_seg``.

        Returns:
            dict[str, Tensor]: Those of AVMask2FormerHead and ``loss_mix``.
        """
        image_features, audio, data_samples, factor = select_labeled(
            image_features, audio, data_samples
        )
        targets = self.criterion.read_targets(data_samples)
        pixels, predictions = self._decode_queries(image_features, audio)
        losses = self._set_losses(pixels, predictions, targets)
        if self.loss_mix is not None:
            labels = targets.label_maps
            mean = resize(
                gated_mean(pixels), labels.shape[1:], mode='bilinear'
            )
            losses['loss_mix'] = self.loss_mix(
                mean, labels, ignore_index=self.ignore_index
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
            image_features (Sequence[Tensor]): See :meth:`loss`.
            encoded_audio (QueriedAudio): Result of :meth:`encode_audio`.
            size (tuple[int, int]): Height and width of the scores.

        Returns:
            AVPrediction: See AVMask2FormerHead.
        """
        pixels = self.forward_pixel_decoder(image_features)
        pixels = self.gate_channels(pixels, encoded_audio.token)
        return self._predict(encoded_audio.query, pixels, size)


def gated_mean(pixels: PixelDecoderOutput) -> Tensor:
    """Average the channels of a mask feature, each times its factor.

    Args:
        pixels (PixelDecoderOutput): With the factors of the channels.

    Returns:
        Tensor: ``[B, 1, h, w]``.
    """
    feature = pixels.mask_feature
    weights = pixels.channel_gate[:, None] / feature.shape[1]
    return (weights @ feature.flatten(2)).unflatten(2, feature.shape[-2:])
