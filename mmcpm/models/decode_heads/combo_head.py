"""COMBO: Mask2Former with a mask feature fused with the sound (CVPR 2024)."""

import torch
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ...structures.audio_features import AudioFeatures
from ...structures.av_prediction import AVPrediction
from ..utils.labeled_frames import labeled_index, weigh_losses
from ..utils.query_predictions import PixelDecoderOutput, QueryPredictions
from ..utils.transfers import few_numbers
from .av_mask2former_head import AVMask2FormerHead

AUDIO_BROADCASTS = ('frame', 'as_coded')


def as_coded_sources(valid: Tensor, num_queries: int) -> Tensor:
    """Frame whose sound every query gets in COMBO's published code.

    There the sounds, repeated to ``[B, N, C]``, are reshaped to ``[N, B, C]``
    where they should be transposed: query q of frame b gets the sound of frame
    ``(q * B + b) // N``. Only frames that are no padding are in that batch.

    Args:
        valid (Tensor): ``[B]`` bool, False for padding.
        num_queries (int): N.

    Returns:
        Tensor: Frames of the batch, ``[B, N]`` int64; padding keeps its own.
    """
    own = torch.arange(len(valid), device=valid.device)
    real = own[valid]
    query = torch.arange(num_queries, device=valid.device)
    place = query * len(real) + own[: len(real), None]
    sources = own[:, None].repeat(1, num_queries)
    sources[real] = real[place // num_queries]
    return sources


@MODELS.register_module()
class COMBOHead(AVMask2FormerHead):
    """Mask2Former head on a mask feature that is fused with the sound.

    The mask feature and the embedding of the sound attend to each other; all
    masks are products with the fused feature, and the fused sound is added to
    all queries before the decoder. With clips, the masks of adjacent frames
    are drawn together.

    Args:
        fusion (dict): The bilateral fusion, see BilateralFusion.
        audio_query_decoder (dict): What adds the sound to the queries, see
            AudioQueryMLP.
        loss_frame (dict, optional): Loss between frames of a clip, see
            InterFrameLoss, for all predictions but the last. None: no such
            loss.
        audio_broadcast (str): 'frame': all queries of a frame get its own
            sound. 'as_coded': what the published checkpoints were trained
            with, see :func:`as_coded_sources`; results then depend on the
            batch, and the original tests one clip at a time.
        **kwargs: Arguments of AVMask2FormerHead.
    """

    def __init__(
        self,
        *,
        fusion: dict,
        loss_frame: dict | None = None,
        audio_broadcast: str = 'frame',
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if audio_broadcast not in AUDIO_BROADCASTS:
            raise ValueError(
                f'audio_broadcast must be one of {AUDIO_BROADCASTS}, but got '
                f'{audio_broadcast!r}.'
            )
        self.audio_broadcast = audio_broadcast
        self.fusion = MODELS.build(fusion)
        self.loss_frame = MODELS.build(loss_frame) if loss_frame else None

    def init_weights(self) -> None:
        """Initialize the decoder and the fusion."""
        super().init_weights()
        self.fusion.init_weights()

    def encode_audio(self, audio: AudioFeatures) -> AudioFeatures:
        """Check the embedding; the fusion needs the image as well.

        Args:
            audio (AudioFeatures): With an embedding ``[B, D]``.

        Returns:
            AudioFeatures: The same.

        Raises:
            ValueError: If the audio backbone gives no embedding.
        """
        if audio.embedding is None:
            raise ValueError(
                'COMBOHead needs a global embedding of the sound, which '
                'model.audio_backbone does not give. VGGish does with '
                'with_embedding=True.'
            )
        return audio

    def _fuse(
        self, image_features: list[Tensor], audio: AudioFeatures
    ) -> tuple[PixelDecoderOutput, Tensor]:
        """Fuse image and sound before the decoder.

        Args:
            image_features (list[Tensor]): See :meth:`forward`.
            audio (AudioFeatures): With an embedding ``[B, D]``.

        Returns:
            tuple[PixelDecoderOutput, Tensor]: Pixels with the fused mask
            feature, and audio queries ``[B, N, C]``.
        """
        # 1. the mask feature and the sound attend to each other
        pixels = self.forward_pixel_decoder(image_features)
        feature, embedding = self.fusion(pixels.mask_feature, audio.embedding)
        # 2. the queries get the fused sound
        query, query_pos = self.init_queries(len(feature))
        source = None
        if self.audio_broadcast == 'as_coded':
            valid = audio.valid
            if valid is None:
                valid = torch.ones_like(embedding[:, 0], dtype=torch.bool)
            source = as_coded_sources(valid, self.num_queries)
        query = self.audio_query_decoder(query, query_pos, embedding, source)
        return pixels._replace(mask_feature=feature), query

    def _decode_queries(
        self, image_features: list[Tensor], audio: AudioFeatures
    ) -> tuple[PixelDecoderOutput, QueryPredictions]:
        """Fuse, then attend to the image; see :meth:`forward`."""
        pixels, query = self._fuse(image_features, self.encode_audio(audio))
        _, query_pos = self.init_queries(len(query))
        return pixels, self.decode(query, query_pos, pixels)

    def loss(
        self,
        image_features: list[Tensor],
        audio: AudioFeatures,
        data_samples: list[SegDataSample],
    ) -> dict[str, Tensor]:
        """Mask2Former's losses on labeled frames, and those between frames.

        Args:
            image_features (list[Tensor]): See :meth:`forward`.
            audio (AudioFeatures): See :meth:`forward`.
            data_samples (list[SegDataSample]): With ``gt_sem_seg``.

        Returns:
            dict[str, Tensor]: Those of AVMask2FormerHead and, with clips of
            two frames or more, ``loss_frame``, the sum over all predictions
            but the last.
        """
        # 1. all frames of the clips
        pixels, predictions = self._decode_queries(image_features, audio)
        # 2. match and compare in the labeled frames
        index, factor = labeled_index(data_samples)
        targets = self.criterion.read_targets([data_samples[i] for i in index])
        index = few_numbers(index, pixels.mask_feature.device)
        losses = self._set_losses(
            pixels._replace(mask_feature=pixels.mask_feature[index]),
            predictions.of_images(index),
            targets,
        )
        losses = weigh_losses(losses, factor)
        # 3. compare adjacent frames
        if self.loss_frame is not None and audio.clip_length > 1:
            terms = self.loss_frame(
                predictions.mask_embedding[:-1],
                pixels.mask_feature,
                audio.clip_length,
                audio.valid,
            )
            losses['loss_frame'] = terms.sum()
        return losses

    def predict(
        self,
        image_features: list[Tensor],
        encoded_audio: AudioFeatures,
        size: tuple[int, int],
    ) -> AVPrediction:
        """Score every class at every pixel.

        Args:
            image_features (list[Tensor]): See :meth:`forward`.
            encoded_audio (AudioFeatures): With an embedding ``[B, D]``.
            size (tuple[int, int]): Height and width of the scores.

        Returns:
            AVPrediction: Scores, see :mod:`..utils.semantic_inference`, and
            the classes of the queries before and after the decoder.
        """
        pixels, query = self._fuse(image_features, encoded_audio)
        return self._predict(query, pixels, size)
