"""Which masks are compared with which class, for all predictions at once.

Only few of all masks that the queries could make have a target: those of
matched queries, and of prompts. Their indices form one flat batch, so that one
call makes, samples and scores them, whatever layer and image they are of.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..utils.transfers import many_numbers


class MaskIndices(NamedTuple):
    """Masks with a target, image after image."""

    # Prediction, image, query and class of every mask, [R] int64 each.
    layer: Tensor
    image: Tensor
    query: Tensor
    label: Tensor
    # Masks of each image.
    counts: list[int]


def matched_indices(
    matches: list[list[tuple[np.ndarray, np.ndarray]]],
    classes: list[list[int]],
) -> np.ndarray:
    """List matched queries.

    Args:
        matches (list[list[tuple[np.ndarray, np.ndarray]]]): Pairs that
            FiniteHungarianAssigner.match gives, per prediction and image.
        classes (list[list[int]]): Classes of the targets of each image.

    Returns:
        np.ndarray: Prediction, image, query and class, ``[R, 4]`` int64.
    """
    indices = [
        (layer, image, query, classes[image][target])
        for layer, images in enumerate(matches)
        for image, (queries, targets) in enumerate(images)
        for query, target in zip(queries, targets, strict=True)
    ]
    return np.array(indices, dtype=np.int64).reshape(-1, 4)


def prompted_indices(
    prompts: list[list[int]],
    classes: list[list[int]],
    num_layers: int,
    first: int,
) -> np.ndarray:
    """List prompts whose class is there to be found.

    Args:
        prompts (list[list[int]]): Prompted classes of each image.
        classes (list[list[int]]): Classes in its label map.
        num_layers (int): Predictions.
        first (int): Index of the first prompt among the queries.

    Returns:
        np.ndarray: Prediction, image, query and class, ``[R, 4]`` int64.
    """
    indices = [
        (layer, image, first + slot, label)
        for layer in range(num_layers)
        for image, labels in enumerate(prompts)
        for slot, label in enumerate(labels)
        if label in classes[image]
    ]
    return np.array(indices, dtype=np.int64).reshape(-1, 4)


def collect_indices(
    parts: list[np.ndarray], num_images: int, device: torch.device
) -> MaskIndices:
    """Sort indices by image and move them, in one copy.

    Args:
        parts (list[np.ndarray]): Results of :func:`matched_indices` and
            :func:`prompted_indices`.
        num_images (int): Images of the batch.
        device (torch.device): Device of the result.

    Returns:
        MaskIndices: All of them.
    """
    indices = np.concatenate(parts)
    indices = indices[np.argsort(indices[:, 1], kind='stable')]
    counts = np.bincount(indices[:, 1], minlength=num_images).tolist()
    columns = many_numbers(indices.T.copy(), device)
    return MaskIndices(*columns.unbind(0), counts)


def make_masks(
    mask_embedding: Tensor, mask_feature: Tensor, indices: MaskIndices
) -> Tensor:
    """Make the masks that have a target, and no other.

    Args:
        mask_embedding (Tensor): ``[L, B, T, C]``.
        mask_feature (Tensor): ``[B, C, h, w]``.
        indices (MaskIndices): Indices of R masks.

    Returns:
        Tensor: Logits ``[R, h, w]``.
    """
    chosen = mask_embedding[
        indices.layer, indices.image, indices.query
    ]  # [R, C]
    masks = [
        embedding @ feature
        for embedding, feature in zip(
            chosen.split(indices.counts),
            mask_feature.flatten(2).unbind(0),
            strict=True,
        )
    ]
    return torch.cat(masks).unflatten(1, mask_feature.shape[-2:])


def scatter_terms(
    values: Tensor, indices: MaskIndices, size: tuple[int, int, int]
) -> Tensor:
    """Bring values of masks to the places of their queries.

    Args:
        values (Tensor): ``[R]``.
        indices (MaskIndices): Indices of R different masks.
        size (tuple[int, int, int]): L predictions, B images, T queries.

    Returns:
        Tensor: ``[L, B, T]``, 0 elsewhere.
    """
    place = (indices.layer, indices.image, indices.query)
    return values.new_zeros(size).index_put(place, values)
