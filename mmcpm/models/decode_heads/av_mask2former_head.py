"""Mask2Former whose queries attend to audio first (CPM, Section 3.1).

With a linear classifier this is the baseline of the paper's Table 4.
"""

import torch
from mmengine.config import ConfigDict
from mmseg.models.decode_heads import Mask2FormerHead
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ...structures.audio_features import AudioFeatures
from ...structures.av_prediction import AVPrediction
from ..layers.mask_position import MaskPosition
from ..layers.masked_attention import attend_within_masks, flatten_levels
from ..losses.class_weights import weigh_classes
from ..losses.set_criterion import FrameTargets, SetCriterion, SetTerms
from ..ops.attention import replace_attention
from ..utils.arguments import check_arguments, check_type
from ..utils.labeled_frames import select_labeled, weigh_losses
from ..utils.query_predictions import (
    PixelDecoderOutput,
    QueryPredictions,
    mask_logits,
)
from ..utils.semantic_inference import INFERENCE_MODES, check_inference_mode
from .base_av_head import BaseAVHead, check_num_classes


@MODELS.register_module()
class AVMask2FormerHead(BaseAVHead, Mask2FormerHead):
    """Mask2Former head with an audio decoder in front of the visual one.

    The prediction between the two (``d0`` in the losses) is the paper's
    :math:`f^{TD-A}`: queries that have attended to the audio alone.

    Args:
        num_classes (int): Classes including background, which is class 0.
        audio_query_decoder (dict): The audio decoder (TD-A).
        loss_cls (dict): mmdet's CrossEntropyLoss. Its ``class_weight``
            may be one weight per class, a file of them, or
            ``dict(frequencies=...)``, see :func:`.class_weights`; without,
            all classes weigh 1, the background included. The loss is a
            weighted mean: only the ratios of the weights count.
        no_object_weight (float, optional): Weight of "no object" in
            ``loss_cls``. None: 0.1, or what ``class_weight`` says.
        inference_mode (str): How queries become a segmentation: 'semantic'
            sums their masks by class, 'argmax' gives each pixel to one query.
        mask_position (bool): Whether the mask feature encodes the position
            in the frame, see MaskPosition.
        **kwargs: Arguments of mmseg's Mask2FormerHead.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        audio_query_decoder: dict,
        loss_cls: dict,
        no_object_weight: float | None = None,
        inference_mode: str = 'semantic',
        mask_position: bool = False,
        **kwargs,
    ) -> None:
        check_arguments(type(self).__name__, Mask2FormerHead, kwargs)
        check_type('audio_query_decoder', audio_query_decoder)
        check_inference_mode(inference_mode)
        check_num_classes(num_classes)
        loss_cls = weigh_classes(loss_cls, num_classes, no_object_weight)
        # BaseAVHead asks for methods only: mmseg's head sets what it would.
        Mask2FormerHead.__init__(
            self,
            num_classes=num_classes,
            loss_cls=loss_cls,
            **ConfigDict(kwargs),
        )
        if self.train_cfg:
            self.criterion = SetCriterion(
                num_classes=num_classes,
                num_queries=self.num_queries,
                assigner=self.assigner,
                loss_cls=self.loss_cls,
                loss_mask=self.loss_mask,
                loss_dice=self.loss_dice,
                class_weight=self.class_weight,
                num_points=self.num_points,
                oversample_ratio=self.oversample_ratio,
                importance_sample_ratio=self.importance_sample_ratio,
                ignore_index=self.ignore_index,
            )
        self.inference_mode = inference_mode
        self.audio_query_decoder = MODELS.build(audio_query_decoder)
        self.mask_position = None
        if mask_position:
            self.mask_position = MaskPosition(
                self.decoder_positional_encoding,
                self.decoder_embed_dims,
                self.mask_embed[-1].out_features,
            )
        replace_attention(self)

    def init_weights(self) -> None:
        """Initialize both decoders; the audio one as the visual one."""
        super().init_weights()
        self.audio_query_decoder.init_weights()
        if self.mask_position is not None:
            self.mask_position.init_weights()

    def forward_pixel_decoder(
        self, image_features: list[Tensor]
    ) -> PixelDecoderOutput:
        """Run the pixel decoder and flatten its levels.

        Args:
            image_features (list[Tensor]): Backbone features, fine to coarse,
                strides 4, 8, 16, 32.

        Returns:
            PixelDecoderOutput: Mask feature and keys of the visual decoder.
        """
        mask_feature, memories = self.pixel_decoder(image_features)
        if self.mask_position is not None:
            mask_feature = self.mask_position(mask_feature)
        keys, positions, sizes = flatten_levels(
            memories[: self.num_transformer_feat_level],
            self.decoder_input_projs,
            self.level_embed.weight,
            self.decoder_positional_encoding,
        )
        return PixelDecoderOutput(mask_feature, keys, positions, sizes)

    def encode_audio(self, audio: AudioFeatures) -> Tensor:
        """Let the queries attend to the audio, before any image (TD-A).

        Args:
            audio (AudioFeatures): Levels coarse to fine, ``[B, C, t, f]``.

        Returns:
            Tensor: Audio queries, ``[B, N, C]``.
        """
        query, query_pos = self.init_queries(len(audio.levels[0]))
        return self.audio_query_decoder(query, query_pos, audio.levels)

    def init_queries(self, batch_size: int) -> tuple[Tensor, Tensor]:
        """Content and position of the queries, ``[B, N, C]`` each."""
        return (
            self.query_feat.weight.expand(batch_size, -1, -1),
            self.query_embed.weight.expand(batch_size, -1, -1),
        )

    def audio_query_classes(self, query: Tensor) -> Tensor:
        """Classify the audio queries.

        Args:
            query (Tensor): Audio queries, ``[B, N, C]``.

        Returns:
            Tensor: Class ids ``[B, N]`` int64, ``num_classes`` for "no
            object".
        """
        query = self.transformer_decoder.post_norm(query)
        return self.cls_embed(query).argmax(-1)

    def embed_masks(self, state: Tensor, pixels: PixelDecoderOutput) -> Tensor:
        """Turn queries into the factors of their masks.

        Args:
            state (Tensor): Normalized queries, ``[B, T, C]``.
            pixels (PixelDecoderOutput): Features of the images; a head whose
                mask embeddings depend on the image finds it here.

        Returns:
            Tensor: ``[B, T, C]``.
        """
        return self.mask_embed(state)

    def decode(
        self,
        query: Tensor,
        query_pos: Tensor,
        pixels: PixelDecoderOutput,
        self_attn_mask: Tensor | None = None,
        last_only: bool = False,
    ) -> QueryPredictions:
        """Attend to the image: Mask2Former's masked-attention decoder.

        Args:
            query (Tensor): Audio queries, ``[B, T, C]``.
            query_pos (Tensor): ``[B, T, C]``.
            pixels (PixelDecoderOutput): Features of the images.
            self_attn_mask (Tensor, optional): ``[B, T, T]`` bool, True where
                a query may not see another.
            last_only (bool): Whether only the last prediction is wanted.

        Returns:
            QueryPredictions: Before the first and after every layer, or the
            last one (L = 1).
        """
        query, states, embeddings = attend_within_masks(
            self.transformer_decoder,
            query,
            query_pos,
            pixels,
            self.embed_masks,
            self_attn_mask,
        )
        if last_only:
            states, embeddings = states[-1:], embeddings[-1:]
        state = torch.stack(states)
        # One call classifies the queries of all predictions.
        return QueryPredictions(
            query, state, self.cls_embed(state), torch.stack(embeddings)
        )

    def forward(
        self, image_features: list[Tensor], audio: AudioFeatures
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Predict classes and masks of all queries, as mmdet's head does.

        Args:
            image_features (list[Tensor]): Fine to coarse, strides 4 to 32.
            audio (AudioFeatures): Levels coarse to fine, ``[B, C, t, f]``.

        Returns:
            tuple[list[Tensor], list[Tensor]]: Class logits
            ``[B, N, classes + 1]`` and mask logits ``[B, N, H/4, W/4]``
            before the first and after every visual layer.
        """
        pixels, predictions = self._decode_queries(image_features, audio)
        masks = mask_logits(predictions.mask_embedding, pixels.mask_feature)
        return list(predictions.class_scores), list(masks)

    def _decode_queries(
        self, image_features: list[Tensor], audio: AudioFeatures
    ) -> tuple[PixelDecoderOutput, QueryPredictions]:
        """Attend to the audio, then to the image; see :meth:`forward`."""
        # 1. the queries attend to the audio
        query = self.encode_audio(audio)
        # 2. the audio queries attend to the image
        _, query_pos = self.init_queries(len(query))
        pixels = self.forward_pixel_decoder(image_features)
        return pixels, self.decode(query, query_pos, pixels)

    def loss(
        self,
        image_features: list[Tensor],
        audio: AudioFeatures,
        data_samples: list[SegDataSample],
    ) -> dict[str, Tensor]:
        """Mask2Former's losses on the prediction of every layer.

        Args:
            image_features (list[Tensor]): See :meth:`forward`.
            audio (AudioFeatures): See :meth:`forward`.
            data_samples (list[SegDataSample]): With ``gt_sem_seg``.

        Returns:
            dict[str, Tensor]: ``loss_cls``, ``loss_mask``, ``loss_dice`` of
            the last layer and ``d{i}.*`` of the earlier ones; ``d0`` is the
            audio decoder's.
        """
        image_features, audio, data_samples, factor = select_labeled(
            image_features, audio, data_samples
        )
        targets = self.criterion.read_targets(data_samples)
        # 1. and 2.: audio, then image
        pixels, predictions = self._decode_queries(image_features, audio)
        losses = self._set_losses(pixels, predictions, targets)
        return weigh_losses(losses, factor)

    def _set_losses(
        self,
        pixels: PixelDecoderOutput,
        predictions: QueryPredictions,
        targets: FrameTargets,
    ) -> dict[str, Tensor]:
        """Match the queries of all predictions; see :meth:`loss`."""
        # 3. match the queries with the labeled classes
        feature = pixels.mask_feature
        matched = self.criterion.match(predictions, feature, targets)
        # 4. compare classes and masks with their targets
        terms, labels = self.criterion(
            predictions, feature, targets, [matched]
        )
        return self._query_losses(predictions, terms, labels, len(matched))

    def _query_losses(
        self,
        predictions: QueryPredictions,
        terms: SetTerms,
        labels: Tensor,
        num_matched: int,
    ) -> dict[str, Tensor]:
        """Mask2Former's losses of the matched queries, which are counted.

        Args:
            predictions (QueryPredictions): L predictions of T queries, of
                which the first N are matched.
            terms (SetTerms): Loss terms of every query.
            labels (Tensor): Class of every query, ``[L, B, T]``.
            num_matched (int): Matched queries of all predictions.

        Returns:
            dict[str, Tensor]: See :meth:`loss`.
        """
        self.criterion.count_matches(labels)
        return self.criterion.reduce(terms, labels, num_matched)

    def predict(
        self,
        image_features: list[Tensor],
        encoded_audio: Tensor,
        size: tuple[int, int],
    ) -> AVPrediction:
        """Score every class at every pixel.

        Args:
            image_features (list[Tensor]): See :meth:`forward`.
            encoded_audio (Tensor): Audio queries, ``[B, N, C]``.
            size (tuple[int, int]): Height and width of the scores.

        Returns:
            AVPrediction: Scores, see :mod:`..utils.semantic_inference`, and
            the classes of the queries before and after the image.
        """
        pixels = self.forward_pixel_decoder(image_features)
        return self._predict(encoded_audio, pixels, size)

    def _predict(
        self,
        audio_query: Tensor,
        pixels: PixelDecoderOutput,
        size: tuple[int, int],
    ) -> AVPrediction:
        """Predict from audio queries and pixels; see :meth:`predict`."""
        _, query_pos = self.init_queries(len(audio_query))
        last = self.decode(audio_query, query_pos, pixels, last_only=True)
        (class_scores,) = last.class_scores
        masks = mask_logits(last.mask_embedding[0], pixels.mask_feature)
        prediction = AVPrediction(
            INFERENCE_MODES[self.inference_mode](class_scores, masks, size),
            audio_query_classes=self.audio_query_classes(audio_query),
            query_classes=class_scores.argmax(-1),
        )
        if self.keep_query_masks:
            probability = class_scores.softmax(-1).max(-1).values
            prediction.query_scores = probability
            prediction.query_masks = masks
        return prediction
