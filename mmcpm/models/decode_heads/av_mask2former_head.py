"""Mask2Former whose queries hear before they see (CPM, Section 3.1).

With a linear classifier this is the baseline of the paper's Table 4.
"""

import copy
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmseg.models.decode_heads import Mask2FormerHead
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor


class PixelTokens(NamedTuple):
    """What the visual decoder attends to and dots its masks with."""

    # Mask feature, [B, C, H / 4, W / 4].
    mask_feature: Tensor
    # Per level, coarse to fine, [B, h * w, C].
    keys: list[Tensor]
    # Their positional encodings, [B, h * w, C].
    positions: list[Tensor]
    # (h, w) of each level.
    sizes: list[tuple[int, int]]


class QueryPredictions(NamedTuple):
    """What the queries say before the first and after every visual layer."""

    # Per prediction, [B, N, classes + 1].
    class_scores: list[Tensor]
    # Per prediction, [B, N, H / 4, W / 4].
    mask_logits: list[Tensor]
    # The queries after the last layer, [B, N, C].
    query: Tensor


def semantic_merge(
    class_scores: Tensor, mask_logits: Tensor, size: tuple[int, int]
) -> Tensor:
    """Sum the queries' masks by class (Mask2Former's semantic inference).

    Args:
        class_scores (Tensor): Logits ``[B, N, classes + 1]``; the last one is
            "no object".
        mask_logits (Tensor): ``[B, N, h, w]``.
        size (tuple[int, int]): Height and width to resize the masks to.

    Returns:
        Tensor: ``[B, classes, H, W]``, for class c
        ``sum_n p_n(c) sigmoid(mask_n)``: a score, not a logit.
    """
    mask_logits = F.interpolate(
        mask_logits, size=size, mode='bilinear', align_corners=False
    )
    class_probability = class_scores.softmax(dim=-1)[..., :-1]
    return torch.einsum(
        'bnc,bnhw->bchw', class_probability, mask_logits.sigmoid()
    )


@MODELS.register_module()
class AVMask2FormerHead(Mask2FormerHead):
    """Mask2Former head with an audio decoder in front of the visual one.

    The prediction between the two (``d0`` in the losses) is the paper's
    :math:`f^{TD-A}`: what a query has learnt from the audio alone.

    Args:
        num_classes (int): Classes including background, which is class 0.
        audio_query_decoder (dict): The audio decoder (TD-A).
        loss_cls (dict): Of mmdet's CrossEntropyLoss, without
            ``class_weight``, which is derived from ``num_classes``.
        no_object_weight (float): Weight of "no object" in ``loss_cls``.
        **kwargs: Of mmseg's Mask2FormerHead.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        audio_query_decoder: dict,
        loss_cls: dict,
        no_object_weight: float = 0.1,
        **kwargs,
    ) -> None:
        if num_classes < 2:
            raise ValueError(
                'num_classes counts the background and must be '
                f'at least 2, but got {num_classes}.'
            )
        if 'class_weight' in loss_cls:
            raise ValueError(
                'loss_cls.class_weight is derived from num_classes and '
                'no_object_weight; set no_object_weight instead.'
            )
        loss_cls = ConfigDict(
            copy.deepcopy(dict(loss_cls)),
            class_weight=[1.0] * num_classes + [no_object_weight],
        )
        super().__init__(
            num_classes=num_classes, loss_cls=loss_cls, **ConfigDict(kwargs)
        )
        self.audio_query_decoder = MODELS.build(audio_query_decoder)
        # How often each query was matched to each class since a hook reset
        # it; the last row is "no object".
        self.register_buffer(
            'match_counts',
            torch.zeros(num_classes + 1, self.num_queries, dtype=torch.int64),
            persistent=False,
        )
        self.matched_labels: Tensor | None = None

    def init_weights(self) -> None:
        """Initialise both decoders; the audio one as the visual one."""
        super().init_weights()
        self.audio_query_decoder.init_weights()

    def encode_pixels(self, image_levels: list[Tensor]) -> PixelTokens:
        """Run the pixel decoder and flatten its levels.

        Args:
            image_levels (list[Tensor]): Backbone features, fine to coarse,
                strides 4, 8, 16, 32.

        Returns:
            PixelTokens: Mask feature and keys of the visual decoder.
        """
        mask_feature, memories = self.pixel_decoder(image_levels)
        keys, positions, sizes = [], [], []
        for level in range(self.num_transformer_feat_level):
            memory = memories[level]
            size = tuple(memory.shape[-2:])
            key = self.decoder_input_projs[level](memory)
            key = key.flatten(2).transpose(1, 2)  # [B, h * w, C]
            keys.append(key + self.level_embed.weight[level])
            position = self.decoder_positional_encoding(
                memory.new_zeros((memory.shape[0], *size), dtype=torch.bool)
            )
            positions.append(position.flatten(2).transpose(1, 2))
            sizes.append(size)
        return PixelTokens(mask_feature, keys, positions, sizes)

    def listen(self, audio_levels: list[Tensor]) -> Tensor:
        """Let the learnt queries hear; they have not seen anything yet.

        Args:
            audio_levels (list[Tensor]): Coarse to fine, ``[B, C, t, f]``.

        Returns:
            Tensor: ``[B, N, C]``.
        """
        query, query_pos = self.learnt_queries(len(audio_levels[0]))
        return self.audio_query_decoder(query, query_pos, audio_levels)

    def learnt_queries(self, batch_size: int) -> tuple[Tensor, Tensor]:
        """Content and position of the queries, ``[B, N, C]`` each."""
        return (
            self.query_feat.weight.expand(batch_size, -1, -1),
            self.query_embed.weight.expand(batch_size, -1, -1),
        )

    def heard_classes(self, query: Tensor) -> Tensor:
        """Classify queries by what they have heard alone.

        Args:
            query (Tensor): Of :meth:`listen`, ``[B, N, C]``.

        Returns:
            Tensor: Class ids ``[B, N]`` int64, ``num_classes`` for "no
            object".
        """
        query = self.transformer_decoder.post_norm(query)
        return self.cls_embed(query).argmax(-1)

    def decode(
        self,
        query: Tensor,
        query_pos: Tensor,
        pixels: PixelTokens,
        self_attn_mask: Tensor | None = None,
    ) -> QueryPredictions:
        """Let the queries look: Mask2Former's masked-attention decoder.

        Args:
            query (Tensor): Queries that have heard the audio, ``[B, N, C]``.
            query_pos (Tensor): ``[B, N, C]``.
            pixels (PixelTokens): Of :meth:`encode_pixels`.
            self_attn_mask (Tensor, optional): ``[B * heads, N, N]`` bool,
                True where a query may not see another.

        Returns:
            QueryPredictions: Before the first and after every layer.
        """
        num_levels = self.num_transformer_feat_level
        class_scores, mask_logits, attn_mask = self._forward_head(
            query, pixels.mask_feature, pixels.sizes[0]
        )
        all_class_scores, all_mask_logits = [class_scores], [mask_logits]
        for index, layer in enumerate(self.transformer_decoder.layers):
            level = index % num_levels
            # A query whose mask is empty attends everywhere instead.
            attn_mask = attn_mask & ~attn_mask.all(dim=-1, keepdim=True)
            query = layer(
                query=query,
                key=pixels.keys[level],
                value=pixels.keys[level],
                query_pos=query_pos,
                key_pos=pixels.positions[level],
                self_attn_mask=self_attn_mask,
                cross_attn_mask=attn_mask,
            )
            class_scores, mask_logits, attn_mask = self._forward_head(
                query,
                pixels.mask_feature,
                pixels.sizes[(index + 1) % num_levels],
            )
            all_class_scores.append(class_scores)
            all_mask_logits.append(mask_logits)
        return QueryPredictions(all_class_scores, all_mask_logits, query)

    def forward(
        self, image_levels: list[Tensor], audio_levels: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Predict classes and masks of all queries.

        Args:
            image_levels (list[Tensor]): Fine to coarse, strides 4 to 32.
            audio_levels (list[Tensor]): Coarse to fine, ``[B, C, t, f]``.

        Returns:
            tuple[list[Tensor], list[Tensor]]: Class logits
            ``[B, N, classes + 1]`` and mask logits ``[B, N, H/4, W/4]``
            before the first and after every visual layer.
        """
        query = self.listen(audio_levels)
        _, query_pos = self.learnt_queries(len(query))
        predictions = self.decode(
            query, query_pos, self.encode_pixels(image_levels)
        )
        return predictions.class_scores, predictions.mask_logits

    def loss(
        self,
        image_levels: list[Tensor],
        audio_levels: list[Tensor],
        batch_data_samples: list[SegDataSample],
    ) -> dict[str, Tensor]:
        """Mask2Former's losses on the prediction of every layer.

        Args:
            image_levels (list[Tensor]): See :meth:`forward`.
            audio_levels (list[Tensor]): See :meth:`forward`.
            batch_data_samples (list[SegDataSample]): With ``gt_sem_seg``.

        Returns:
            dict[str, Tensor]: ``loss_cls``, ``loss_mask``, ``loss_dice`` of
            the last layer and ``d{i}.*`` of the earlier ones; ``d0`` is the
            audio decoder's.
        """
        instances, metas = self._seg_data_to_instance_data(batch_data_samples)
        all_class_scores, all_mask_logits = self(image_levels, audio_levels)
        losses = self.loss_by_feat(
            all_class_scores, all_mask_logits, instances, metas
        )
        self.count_matches()
        return losses

    def _seg_data_to_instance_data(self, batch_data_samples) -> tuple:
        """Make instances of label maps; refuse classes out of range."""
        instances, metas = super()._seg_data_to_instance_data(
            batch_data_samples
        )
        labels = torch.cat([instance.labels for instance in instances])
        # On a GPU the loss would end in an assertion that names nothing.
        if ((labels < 0) | (labels >= self.num_classes)).any():
            for instance, meta in zip(instances, metas, strict=True):
                self.check_classes(instance.labels.tolist(), meta)
        return instances, metas

    def check_classes(self, classes: list[int], meta: dict) -> None:
        """Refuse class ids that the head does not have.

        Args:
            classes (list[int]): Class ids of a frame.
            meta (dict): Its meta information.

        Raises:
            ValueError: Names the frame and the class ids.
        """
        wrong = sorted(k for k in classes if not 0 <= k < self.num_classes)
        if wrong:
            name = meta.get('seg_map_path') or meta.get('img_path', 'a frame')
            raise ValueError(
                f'The labels of {name} hold the classes {wrong}, but the '
                f'decode head has 0..{self.num_classes - 1}. Set '
                'num_classes to that of the dataset.'
            )

    def get_targets(self, *args, **kwargs) -> tuple:
        """Match as mmdet does, and remember what was matched last.

        Returns:
            tuple: See mmdet's MaskFormerHead.
        """
        targets = super().get_targets(*args, **kwargs)
        # The last prediction is matched last.
        self.matched_labels = torch.stack(targets[0])  # [B, N]
        return targets

    @torch.no_grad()
    def count_matches(self) -> None:
        """Count which query was matched to which class (Algorithm 1)."""
        if not self.training:
            return
        labels = self.matched_labels  # [B, N]
        slots = torch.arange(labels.shape[1], device=labels.device)
        flat = labels * labels.shape[1] + slots
        counts = self.match_counts.view(-1)
        counts.scatter_add_(0, flat.view(-1), torch.ones_like(flat.view(-1)))

    def predict(
        self,
        image_levels: list[Tensor],
        query: Tensor,
        size: tuple[int, int],
    ) -> Tensor:
        """Score every class at every pixel.

        Args:
            image_levels (list[Tensor]): See :meth:`forward`.
            query (Tensor): Of :meth:`listen`, ``[B, N, C]``.
            size (tuple[int, int]): Height and width of the output.

        Returns:
            Tensor: ``[B, classes, H, W]``, see :func:`semantic_merge`.
        """
        _, query_pos = self.learnt_queries(len(query))
        predictions = self.decode(
            query, query_pos, self.encode_pixels(image_levels)
        )
        return semantic_merge(
            predictions.class_scores[-1], predictions.mask_logits[-1], size
        )
