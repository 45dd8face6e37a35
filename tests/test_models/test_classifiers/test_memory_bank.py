from collections import deque

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcpm.models.classifiers.memory_bank import class_ranks, enqueue

CAPACITY, CLASSES = 4, 3

# Batches of labels, -1 among them; class 2 is "no object".
STEPS = st.lists(
    st.lists(st.integers(-1, CLASSES - 1), max_size=11), max_size=12
)


def empty_bank():
    return (
        torch.zeros(CLASSES, CAPACITY, 2),
        torch.zeros(CLASSES, dtype=torch.int64),
        torch.zeros(CLASSES, dtype=torch.int64),
    )


def add(bank, pointer, count, labels, first=0):
    """Enqueue samples whose features are their serial numbers."""
    serial = torch.arange(first, first + len(labels)).float()
    return enqueue(
        bank,
        pointer,
        count,
        serial[:, None].expand(-1, 2),
        torch.tensor(labels, dtype=torch.int64),
    )


@given(STEPS)
@settings(max_examples=60, deadline=None)
def test_bank_is_a_deque_per_class(steps):
    bank, pointer, count = empty_bank()
    rings = [deque(maxlen=CAPACITY) for _ in range(CLASSES)]
    first = 1
    for labels in steps:
        added = add(bank, pointer, count, labels, first)
        for k, ring in enumerate(rings):
            own = [first + i for i, label in enumerate(labels) if label == k]
            # Of more than fit in one step the first are kept.
            ring.extend(own[:CAPACITY])
            assert added[k] == len(own[:CAPACITY])
            assert count[k] == len(ring)
            held = bank[k, : len(ring), 0].tolist()
            assert sorted(held) == sorted(ring)
            if len(ring) == CAPACITY:
                # The next slot holds the oldest member.
                assert bank[k, pointer[k], 0] == ring[0]
            else:
                assert held == list(ring) and pointer[k] == len(ring)
                assert (bank[k, len(ring) :] == 0).all()
        first += len(labels)
    assert (bank[..., 0] == bank[..., 1]).all()


def test_wrap_around_by_hand():
    bank, pointer, count = empty_bank()
    add(bank, pointer, count, [0, 0, 0], first=1)
    add(bank, pointer, count, [0, -1, 0, 2], first=4)
    assert bank[0, :, 0].tolist() == [6, 2, 3, 4]
    assert pointer.tolist() == [1, 0, 1]
    assert count.tolist() == [4, 0, 1]
    assert bank[2, :, 0].tolist() == [7, 0, 0, 0]


@pytest.mark.parametrize('labels', [[], [-1], [-1] * 9])
def test_nothing_to_store_changes_nothing(labels):
    bank, pointer, count = empty_bank()
    add(bank, pointer, count, [0, 2, 2], first=1)
    before = bank.clone(), pointer.clone(), count.clone()
    added = add(bank, pointer, count, labels, first=50)
    assert added.tolist() == [0, 0, 0]
    for old, new in zip(before, (bank, pointer, count), strict=True):
        torch.testing.assert_close(new, old, rtol=0, atol=0)


def test_left_out_features_may_be_anything():
    bank, pointer, count = empty_bank()
    features = torch.tensor([[torch.nan] * 2, [5.0, 5.0], [torch.inf] * 2])
    enqueue(bank, pointer, count, features, torch.tensor([-1, 1, -1]))
    assert bank.isfinite().all() and bank.sum() == 10


def test_bank_is_changed_in_place():
    """Buffers stay the same tensors, which checkpoints and EMA know."""
    bank, pointer, count = empty_bank()
    where = [t.data_ptr() for t in (bank, pointer, count)]
    add(bank, pointer, count, [0, 1], first=1)
    assert where == [t.data_ptr() for t in (bank, pointer, count)]


@given(st.lists(st.integers(-1, 4), max_size=30))
@settings(max_examples=30, deadline=None)
def test_ranks_count_the_samples_of_a_class(labels):
    ranks = class_ranks(torch.tensor(labels, dtype=torch.int64), 5)
    for i, label in enumerate(labels):
        if label >= 0:
            assert ranks[i] == labels[:i].count(label)
