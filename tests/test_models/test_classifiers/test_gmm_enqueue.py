"""How members enter the banks, and when the mixtures are updated."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from mmcpm.models.classifiers import GMMClassifier


def state_of(classifier):
    return {k: v.clone() for k, v in classifier.named_buffers()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def assert_finite(classifier):
    for name, value in classifier.named_buffers():
        assert value.isfinite().all(), name


def test_cadence_and_dirty_classes(make_classifier, unit_vectors):
    """Every third step; only classes with members since their update."""
    classifier = make_classifier(em_interval=3)
    features = unit_vectors(30)
    updates = []
    for labels in (
        [1, 1, -1, -1, -1, -1],
        [-1, 2, 2, -1, -1, -1],
        [-1] * 6,
        [-1] * 6,
        [-1, -1, -1, -1, 2, 4],
        [-1] * 6,
    ):
        # Five members each: enough for a component to have a variance.
        labels = torch.tensor(labels).repeat_interleave(5)
        classifier.enqueue(features, labels)
        updates.append(classifier.num_updates.tolist())
        if len(updates) == 3:
            early = state_of(classifier)
    assert updates == [
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 1, 1, 0, 0],
        [0, 1, 1, 0, 0],
        [0, 1, 1, 0, 0],
        [0, 1, 2, 0, 1],
    ]
    for name in ('mean', 'variance', 'log_weight'):
        now = getattr(classifier, name)
        assert torch.equal(now[[0, 1, 3]], early[name][[0, 1, 3]])
        assert not torch.equal(now[2], early[name][2])
    assert not classifier.dirty.any()
    assert int(classifier.num_steps) == 6


def test_evaluation_changes_nothing(fill, unit_vectors):
    classifier, _ = fill()
    classifier.eval()
    before = state_of(classifier)
    features = unit_vectors(6)
    classifier(features)
    classifier.enqueue(features, torch.tensor([0, 1, 2, 3, 4, 4]))
    classifier.sample(torch.tensor([1, 2]))
    classifier.log_vars()
    assert_same(state_of(classifier), before)
    assert classifier._steps == 3


def test_broken_values_never_enter_the_bank(make_classifier, unit_vectors):
    classifier = make_classifier()
    features = unit_vectors(7)
    features[0, 3] = torch.nan
    features[2, 0] = torch.inf
    features[4] = -torch.inf
    labels = torch.tensor([1, 1, 4, 2, 2, 99, -7])
    classifier.enqueue(features, labels)
    assert classifier.count.tolist() == [0, 1, 1, 0, 0]
    assert_finite(classifier)
    torch.testing.assert_close(classifier.bank[1, 0], features[1])
    torch.testing.assert_close(classifier.bank[2, 0], features[3])
    classifier.enqueue(torch.full((7, 32), torch.nan), labels.clamp(max=4))
    assert classifier.count.tolist() == [0, 1, 1, 0, 0]
    assert_finite(classifier)


@given(
    st.lists(st.sampled_from([-1, 0, 3, 4, 4, 4]), max_size=60),
    st.sampled_from([0, 1, 5, 32]),
)
@settings(max_examples=40, deadline=None)
def test_no_object_is_thinned_evenly(labels, cap):
    """Class 4 is "no object"; other classes lose nobody."""
    classifier = GMMClassifier(
        num_classes=4,
        embed_dims=16,
        max_no_object=cap,
        bank_size=64,
        em_interval=99,
    )
    features = torch.randn(len(labels), 16)
    embedding = classifier.embed(features)
    classifier.enqueue(features, torch.tensor(labels, dtype=torch.int64))
    empty = [i for i, label in enumerate(labels) if label == 4]
    assert classifier.count[0] == labels.count(0)
    assert classifier.count[3] == labels.count(3)
    assert classifier.count[4] == min(len(empty), cap)
    kept = []
    for member in classifier.bank[4, : classifier.count[4]]:
        nearest = (embedding @ member).argmax() if len(labels) else 0
        kept.append(empty.index(int(nearest)))
    assert kept == sorted(set(kept))
    if len(kept) > 1:
        gaps = torch.tensor(kept).diff()
        assert gaps.max() - gaps.min() <= 1
        assert kept[0] == 0


def test_more_than_fits_into_a_step_is_left_out(make_classifier):
    """Matched queries in front, whatever stands between them."""
    classifier = make_classifier(max_enqueue=3, em_interval=9)
    features = torch.randn(6, 32)
    classifier.enqueue(features, torch.tensor([-1, 0, -1, 1, 0, 2]))
    assert classifier.count.tolist() == [2, 1, 0, 0, 0]
    torch.testing.assert_close(
        classifier.bank[0, :2], classifier.embed(features[[1, 4]])
    )


def test_a_class_is_ready_with_members_and_an_update(make_classifier):
    classifier = make_classifier(em_interval=2, min_members=1)
    classifier.enqueue(torch.randn(11, 32), torch.tensor([1] * 6 + [2] * 5))
    every = torch.tensor([[0, 1, 2], [3, 4, -1]])
    assert not classifier.ready(every).any()  # no update yet
    classifier.enqueue(torch.randn(1, 32), torch.tensor([-1]))
    # 2 * M = 6 members are asked for in any case.
    assert classifier.ready(every).tolist() == [
        [False, True, False],
        [False, False, False],
    ]


def test_nothing_to_learn_from_for_a_long_time(make_classifier):
    classifier = make_classifier()
    start = state_of(classifier)
    for _ in range(3):
        classifier.enqueue(
            torch.randn(4, 32), torch.full((4,), -1, dtype=torch.int64)
        )
    start['num_steps'] = torch.tensor(3)
    assert_same(state_of(classifier), start)


@pytest.mark.parametrize('estep', ['em', 'sinkhorn'])
def test_learning_and_sampling_never_wait_for_the_device(estep):
    """A fake GPU raises where a value would have to be known."""
    with FakeTensorMode(), torch.device('cuda'):
        classifier = GMMClassifier(
            num_classes=4, embed_dims=16, em_interval=1, estep=estep
        )
        features, labels = torch.randn(30, 16), torch.randint(-1, 5, (30,))
        with pytest.raises(Exception, match='local_scalar_dense'):
            labels.max().item()
        classifier.enqueue(features, labels)
        logits = classifier(features)
        samples = classifier.sample(torch.randint(-1, 4, (2, 3)))
        ready = classifier.ready(torch.randint(-1, 4, (2, 3)))
        health = classifier.log_vars()
    assert logits.shape == (30, 5) and samples.shape == (2, 3, 16)
    assert ready.shape == (2, 3) and len(health) == 6
