"""A ring of recent embeddings per class, filled without a loop."""

import torch
import torch.nn.functional as F
from torch import Tensor


def class_ranks(labels: Tensor, num_classes: int) -> Tensor:
    """Number the samples of each class in the order they come.

    Args:
        labels (Tensor): ``[S]`` int64, -1 for "no sample".
        num_classes (int): Number of classes.

    Returns:
        Tensor: ``[S]`` int64: 0 for the first sample of its class, and so
        on; arbitrary where the label is -1.
    """
    one_hot = F.one_hot(labels.clamp(min=0), num_classes)
    one_hot = one_hot * (labels >= 0)[:, None]
    order = one_hot.cumsum(0) - 1  # [S, num_classes]
    return order.gather(1, labels.clamp(min=0)[:, None])[:, 0]


def enqueue(
    bank: Tensor,
    pointer: Tensor,
    count: Tensor,
    features: Tensor,
    labels: Tensor,
) -> Tensor:
    """Store samples in their classes' rings, the oldest being overwritten.

    Args:
        bank (Tensor): ``[K, capacity, D]``, changed in place.
        pointer (Tensor): Next slot of each class, ``[K]`` int64, changed in
            place.
        count (Tensor): Members of each class, ``[K]`` int64, changed in
            place.
        features (Tensor): ``[S, D]``.
        labels (Tensor): ``[S]`` int64, -1 for samples to leave out. Of more
            samples of a class than its ring holds, the first are kept.

    Returns:
        Tensor: Number of stored samples of each class, ``[K]`` int64.
    """
    num_classes, capacity, dims = bank.shape
    rank = class_ranks(labels, num_classes)
    stored = (labels >= 0) & (rank < capacity)
    label = labels.clamp(min=0)
    slot = label * capacity + (pointer[label] + rank) % capacity
    # One more row takes what is left out: no selection, hence no size that
    # the host would have to ask for.
    spare = num_classes * capacity
    slot = torch.where(stored, slot, spare)
    flat = torch.cat([bank.view(spare, dims), bank.new_zeros(1, dims)])
    flat.index_copy_(0, slot, features.to(flat))
    bank.copy_(flat[:spare].view_as(bank))
    added = torch.zeros_like(count)
    added.scatter_add_(0, label, stored.to(count))
    pointer.copy_((pointer + added) % capacity)
    count.copy_((count + added).clamp(max=capacity))
    return added
