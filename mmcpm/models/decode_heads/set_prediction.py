"""How Mask2Former learns: matching and losses of all predictions at once.

Nothing here depends on what the queries have heard. Against one prediction
and one image after the other, there is one copy of all costs to the host, one
gather of points and one call of each loss, and masks are made for matched
queries only. The host waits twice, whatever the batch: for the classes in the
labels, and for the costs.
"""

import copy
from typing import NamedTuple

import numpy as np
import torch
from mmcv.ops import point_sample
from mmdet.utils import reduce_mean
from mmengine.structures import InstanceData
from mmseg.structures import SegDataSample
from torch import Tensor

from ..losses.matched_masks import (
    MaskRows,
    collect_rows,
    make_masks,
    matched_rows,
    spread_rows,
)
from ..losses.point_sampling import (
    class_mask_at_points,
    classes_present,
    logits_at_points,
    uncertain_points,
)
from ..utils.transfers import few_numbers


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
    """What the queries say before the first and after every visual layer.

    L predictions of B images and T queries.
    """

    # The queries after the last layer, [B, T, C].
    query: Tensor
    # Queries normalised for the predictions, [L, B, T, C].
    state: Tensor
    # Logits, [L, B, T, classes + 1].
    class_scores: Tensor
    # Their products with the mask feature are masks, [L, B, T, C].
    mask_embedding: Tensor


class FrameTargets(NamedTuple):
    """What is labelled."""

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


class SetPrediction:
    """The learning of a Mask2Former head, to be mixed into it.

    Uses the head's ``assigner``, ``loss_cls``, ``loss_mask``, ``loss_dice``,
    ``weight_of_class`` (``[classes + 1]``), ``num_classes``,
    ``num_queries``, ``num_points``, ``oversample_ratio``,
    ``importance_sample_ratio`` and ``ignore_index``.
    """

    num_classes: int
    num_queries: int
    weight_of_class: Tensor
    matched_labels: Tensor | None = None

    def read_targets(
        self, batch_data_samples: list[SegDataSample]
    ) -> FrameTargets:
        """Collect the label maps; refuse classes out of range.

        Args:
            batch_data_samples (list[SegDataSample]): With ``gt_sem_seg``.

        Returns:
            FrameTargets: Label maps and the classes in them.
        """
        label_maps = torch.cat(
            [sample.gt_sem_seg.data for sample in batch_data_samples]
        )
        classes = classes_present(label_maps, self.ignore_index)
        for present, sample in zip(classes, batch_data_samples, strict=True):
            self.check_classes(present, sample.metainfo)
        return FrameTargets(label_maps, classes)

    @torch.no_grad()
    def match(
        self,
        predictions: QueryPredictions,
        pixels: PixelTokens,
        targets: FrameTargets,
    ) -> np.ndarray:
        """Match the learnt queries of all predictions with the targets.

        Costs are taken at points, the same for all predictions of an image,
        where the mask feature is sampled instead of the masks.

        Args:
            predictions (QueryPredictions): Learnt queries come first.
            pixels (PixelTokens): Of the images.
            targets (FrameTargets): G classes of each image.

        Returns:
            np.ndarray: See :func:`.mask_rows.matched_rows`.
        """
        feature, count = pixels.mask_feature, self.num_queries
        points = torch.rand(
            len(feature), self.num_points, 2, device=feature.device
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
                feature,
                points,
                strict=True,
            )
        )  # [L, N, P]
        instances = []
        flat = [k for present in targets.classes for k in present]
        labels_of = few_numbers(flat, feature.device).split(
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
        return matched_rows(matches, targets.classes)

    def set_terms(
        self,
        predictions: QueryPredictions,
        pixels: PixelTokens,
        targets: FrameTargets,
        parts: list[np.ndarray],
    ) -> tuple[SetTerms, Tensor]:
        """Compare classes and masks with their targets, all in one go.

        Args:
            predictions (QueryPredictions): L predictions of T queries.
            pixels (PixelTokens): Of the images.
            targets (FrameTargets): What is labelled.
            parts (list[np.ndarray]): Queries with a target, see
                :mod:`.mask_rows`; the matched ones first.

        Returns:
            tuple[SetTerms, Tensor]: The terms, times their weights, and the
            class of every query, ``[L, B, T]`` int64, "no object" where it
            has no target.
        """
        scores = predictions.class_scores
        size = tuple(scores.shape[:3])
        rows = collect_rows(parts, size[1], scores.device)
        labels = rows.label.new_full(size, self.num_classes)
        labels[rows.layer, rows.image, rows.query] = rows.label
        self.matched_labels = labels[-1, :, : self.num_queries]
        class_terms = self.class_terms(scores.flatten(0, 2), labels.flatten())
        mask_terms, dice_terms = self._mask_terms(
            predictions, pixels, targets, rows
        )
        terms = SetTerms(
            class_terms.view(size),
            spread_rows(mask_terms, rows, size),
            spread_rows(dice_terms, rows, size),
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
        weights = self.weight_of_class[labels]
        return unweighted(scores, labels, weights, reduction_override='none')

    def _mask_terms(
        self,
        predictions: QueryPredictions,
        pixels: PixelTokens,
        targets: FrameTargets,
        rows: MaskRows,
    ) -> tuple[Tensor, Tensor]:
        """Mask and dice losses of the rows at points, ``[R]`` each."""
        masks = make_masks(
            predictions.mask_embedding, pixels.mask_feature, rows
        )
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
                targets.label_maps, rows.image, rows.label, points
            )
            logits = logits_at_points(masks, points)
            binary = self.loss_mask(
                logits.view(-1), wanted.view(-1), reduction_override='none'
            )
            dice = self.loss_dice(logits, wanted, reduction_override='none')
            return binary.view_as(logits).mean(1), dice

    def query_losses(
        self, terms: SetTerms, labels: Tensor, num_matched: int
    ) -> dict[str, Tensor]:
        """Sum up the learnt queries, prediction by prediction.

        Args:
            terms (SetTerms): Of :meth:`set_terms`.
            labels (Tensor): Classes, ``[L, B, T]``.
            num_matched (int): Matched queries of all predictions.

        Returns:
            dict[str, Tensor]: See :meth:`loss`.
        """
        count, num_layers = self.num_queries, len(labels)
        weight = self.weight_of_class[labels[:, :, :count]].sum((1, 2))
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
