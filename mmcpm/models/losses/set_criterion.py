"""SetCriterion: matching and losses of a set of queries (Mask2Former's).

Instead of looping over layers and images, the criterion copies all costs to
the host at once, gathers all points at once and calls each loss once, and
makes masks for matched queries only. The host waits twice, whatever the
batch: for the classes in the labels, and for the costs.
"""

import copy
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn as nn
from mmcv.ops import point_sample
from mmdet.utils import reduce_mean
from mmengine.structures import InstanceData
from mmseg.structures import SegDataSample
from torch import Tensor

from ..utils.query_predictions import QueryPredictions
from ..utils.transfers import few_numbers
from .label_maps import read_label_maps
from .matched_masks import (
    MaskIndices,
    collect_indices,
    make_masks,
    matched_indices,
    scatter_terms,
)
from .point_sampling import (
    class_mask_at_points,
    logits_at_points,
    uncertain_points,
)


class FrameTargets(NamedTuple):
    """Labels of a batch."""

    # Class ids, [B, H, W].
    label_maps: Tensor
    # Classes of each image, ascending, background included.
    classes: list[list[int]]


class SetTerms(NamedTuple):
    """Loss terms of every query in every prediction, [L, B, T] float32.

    0 for masks without a target.
    """

    classes: Tensor
    masks: Tensor
    dice: Tensor


class SetCriterion(nn.Module):
    """Matching and losses of a set of queries; a head owns one.

    It has neither parameters nor anything in the state dict, so that the
    checkpoints of a head with it are those of a head without. A head may
    append queries with targets of their own (prompts) to the ones that are
    matched.

    Args:
        num_classes (int): Classes including background.
        num_queries (int): Queries that are matched; they come first.
        assigner (FiniteHungarianAssigner): Matches them.
        loss_cls (nn.Module): mmdet's CrossEntropyLoss.
        loss_mask (nn.Module): mmdet's CrossEntropyLoss with sigmoid.
        loss_dice (nn.Module): mmdet's DiceLoss.
        class_weight (Sequence[float]): Weight of every class and, last, of
            "no object" in ``loss_cls``.
        num_points (int): Points at which masks are compared.
        oversample_ratio (float): Candidates per point.
        importance_sample_ratio (float): Share of the points that are chosen
            for being uncertain.
        ignore_index (int): Label that is left out.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        num_queries: int,
        assigner,
        loss_cls: nn.Module,
        loss_mask: nn.Module,
        loss_dice: nn.Module,
        class_weight: Sequence[float],
        num_points: int = 12544,
        oversample_ratio: float = 3.0,
        importance_sample_ratio: float = 0.75,
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.num_queries = num_queries
        self.assigner = assigner
        self.loss_cls = loss_cls
        self.loss_mask = loss_mask
        self.loss_dice = loss_dice
        self.num_points = num_points
        self.oversample_ratio = oversample_ratio
        self.importance_sample_ratio = importance_sample_ratio
        self.ignore_index = ignore_index
        # On the device, see class_terms.
        self.register_buffer(
            'class_weight', torch.tensor(class_weight), persistent=False
        )
        # How often each query was matched to each class since
        # StabilityScoreHook reset it; the last row is "no object".
        self.register_buffer(
            'match_counts',
            torch.zeros(num_classes + 1, num_queries, dtype=torch.int64),
            persistent=False,
        )

    def read_targets(self, data_samples: list[SegDataSample]) -> FrameTargets:
        """Collect the label maps; refuse classes out of range.

        Args:
            data_samples (list[SegDataSample]): With ``gt_sem_seg``.

        Returns:
            FrameTargets: Label maps and the classes in them.
        """
        return FrameTargets(
            *read_label_maps(data_samples, self.num_classes, self.ignore_index)
        )

    @torch.no_grad()
    def match(
        self,
        predictions: QueryPredictions,
        mask_feature: Tensor,
        targets: FrameTargets,
    ) -> np.ndarray:
        """Match the learned queries of all predictions with the targets.

        Costs are taken at points, the same for all predictions of an image,
        where the mask feature is sampled instead of the masks.

        Args:
            predictions (QueryPredictions): Learned queries come first.
            mask_feature (Tensor): ``[B, C, h, w]``.
            targets (FrameTargets): G classes of each image.

        Returns:
            np.ndarray: See :func:`.matched_masks.matched_indices`.
        """
        count = self.num_queries
        points = torch.rand(
            len(mask_feature), self.num_points, 2, device=mask_feature.device
        )
        # Image by image, so that the masks of one are there at a time. The
        # points stay float32: the targets are read at the same ones.
        logits = (
            (
                embedding[:, :count]
                @ point_sample(part[None].float(), where[None])[0].to(
                    embedding
                )
            ).float()
            for embedding, part, where in zip(
                predictions.mask_embedding.unbind(1),
                mask_feature,
                points,
                strict=True,
            )
        )  # [L, N, P]
        instances = []
        flat = [k for present in targets.classes for k in present]
        labels_of = few_numbers(flat, mask_feature.device).split(
            [len(present) for present in targets.classes]
        )
        for image, labels in enumerate(labels_of):
            masks = class_mask_at_points(
                targets.label_maps,
                torch.full_like(labels, image),
                labels,
                points[image].expand(len(labels), -1, -1),
            )
            instances.append(InstanceData(labels=labels, masks=masks))
        matches = self.assigner.match(
            predictions.class_scores[:, :, :count], logits, instances
        )
        return matched_indices(matches, targets.classes)

    def forward(
        self,
        predictions: QueryPredictions,
        mask_feature: Tensor,
        targets: FrameTargets,
        parts: list[np.ndarray],
    ) -> tuple[SetTerms, Tensor]:
        """Compare classes and masks with their targets, all in one go.

        Args:
            predictions (QueryPredictions): L predictions of T queries.
            mask_feature (Tensor): ``[B, C, h, w]``.
            targets (FrameTargets): Labels of the batch.
            parts (list[np.ndarray]): Queries with a target, see
                :mod:`.matched_masks`; the matched ones first.

        Returns:
            tuple[SetTerms, Tensor]: The terms, times their weights, and the
            class of every query, ``[L, B, T]`` int64, "no object" where it
            has no target.
        """
        scores = predictions.class_scores
        size = tuple(scores.shape[:3])
        indices = collect_indices(parts, size[1], scores.device)
        labels = indices.label.new_full(size, self.num_classes)
        labels[indices.layer, indices.image, indices.query] = indices.label
        class_terms = self.class_terms(scores.flatten(0, 2), labels.flatten())
        mask_terms, dice_terms = self._mask_terms(
            predictions, mask_feature, targets, indices
        )
        terms = SetTerms(
            class_terms.view(size),
            scatter_terms(mask_terms, indices, size),
            scatter_terms(dice_terms, indices, size),
        )
        return terms, labels

    def class_terms(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Class losses, times the weights of the classes.

        mmdet's loss copies its list of weights to the device in every call,
        for which the host would wait: here they are looked up.

        Args:
            scores (Tensor): Logits ``[R, classes + 1]``.
            labels (Tensor): Classes, ``[R]``.

        Returns:
            Tensor: ``[R]``.
        """
        unweighted = copy.copy(self.loss_cls)
        unweighted.class_weight = None
        weights = self.class_weight[labels]
        return unweighted(scores, labels, weights, reduction_override='none')

    def _mask_terms(
        self,
        predictions: QueryPredictions,
        mask_feature: Tensor,
        targets: FrameTargets,
        indices: MaskIndices,
    ) -> tuple[Tensor, Tensor]:
        """Mask and dice losses at points, ``[R]`` each."""
        masks = make_masks(predictions.mask_embedding, mask_feature, indices)
        with torch.autocast(masks.device.type, enabled=False):
            masks = masks.float()
            if not len(masks):
                nothing = masks.flatten(1).sum(1)  # Keeps the graph whole.
                return nothing, nothing
            points = uncertain_points(
                masks,
                self.num_points,
                self.oversample_ratio,
                self.importance_sample_ratio,
            )
            wanted = class_mask_at_points(
                targets.label_maps, indices.image, indices.label, points
            )
            logits = logits_at_points(masks, points)
            binary = self.loss_mask(
                logits.view(-1), wanted.view(-1), reduction_override='none'
            )
            dice = self.loss_dice(logits, wanted, reduction_override='none')
            return binary.view_as(logits).mean(1), dice

    def reduce(
        self, terms: SetTerms, labels: Tensor, num_matched: int
    ) -> dict[str, Tensor]:
        """Sum up the learned queries, prediction by prediction.

        Args:
            terms (SetTerms): Terms of all queries, from :meth:`forward`.
            labels (Tensor): Classes, ``[L, B, T]``.
            num_matched (int): Matched queries of all predictions.

        Returns:
            dict[str, Tensor]: ``loss_cls``, ``loss_mask``, ``loss_dice`` of
            the last prediction and ``d{i}.*`` of the earlier ones.
        """
        count, num_layers = self.num_queries, len(labels)
        weight = self.class_weight[labels[:, :, :count]].sum((1, 2))
        # Where all that is matched weighs 0, so does the loss.
        weight = weight.clamp(min=torch.finfo(weight.dtype).tiny)
        # Over all ranks: the same collective on each, whatever it holds. A
        # frame without any class counts nothing here, and one in mmdet.
        masks = terms.masks.new_full((), num_matched / num_layers)
        masks = reduce_mean(masks)
        masks = masks.clamp(min=1.0)
        columns = {
            'loss_cls': terms.classes[:, :, :count].sum((1, 2)) / weight,
            'loss_mask': terms.masks[:, :, :count].sum((1, 2)) / masks,
            'loss_dice': terms.dice[:, :, :count].sum((1, 2)) / masks,
        }
        losses = {name: values[-1] for name, values in columns.items()}
        for layer in range(num_layers - 1):
            for name, values in columns.items():
                losses[f'd{layer}.{name}'] = values[layer]
        return losses

    @torch.no_grad()
    def count_matches(self, labels: Tensor) -> None:
        """Count which query was matched to which class (Algorithm 1).

        Args:
            labels (Tensor): Classes of the queries, ``[L, B, T]``; the last
                prediction counts.
        """
        if not self.training:
            return
        labels = labels[-1, :, : self.num_queries]
        slots = torch.arange(labels.shape[1], device=labels.device)
        flat = labels * labels.shape[1] + slots
        counts = self.match_counts.view(-1)
        counts.scatter_add_(0, flat.view(-1), torch.ones_like(flat.view(-1)))
