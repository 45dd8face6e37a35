"""How the mixtures learn: bank, cadence, EM, switches of GMMClassifier."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    Normal,
)

from mmcpm.models.classifiers import GMMClassifier

FAR = torch.tensor([0.0, 0.0, 0.0, -1.0])


def state_of(classifier):
    return {k: v.clone() for k, v in classifier.named_buffers()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def put(classifier, index, members, mean):
    """Place members and means of one class, as if they had come by."""
    classifier.bank[index, : len(members)] = members
    classifier.count[index] = len(members)
    classifier.dirty[index] = True
    classifier.mean[index] = mean


def plain(make_classifier, **kwargs):
    """A classifier that does EM and nothing else."""
    return make_classifier(
        **{
            **dict(
                embed_dims=4,
                num_components=2,
                unit_mean=False,
                shrinkage=0.0,
                variance_floor=1e-9,
            ),
            **kwargs,
        }
    )


def test_update_raises_the_likelihood_of_the_bank(make_classifier):
    classifier = plain(make_classifier)
    torch.manual_seed(3)
    members = torch.randn(3, 64, 4)
    for index in range(3):
        put(classifier, index, members[index], torch.randn(2, 4))

    def likelihood(index):
        components = Independent(
            Normal(classifier.mean[index], classifier.variance[index].sqrt()),
            1,
        )
        weights = Categorical(logits=classifier.log_weight[index])
        log_prob = MixtureSameFamily(weights, components).log_prob(
            members[index]
        )
        return float(log_prob.sum())

    before = [likelihood(k) for k in range(3)]
    start = list(before)
    for _ in range(8):
        classifier.dirty[:3] = True
        classifier.update()
        after = [likelihood(k) for k in range(3)]
        assert all(a >= b - 1e-2 for a, b in zip(after, before, strict=True))
        before = after
    assert all(a > s + 10 for a, s in zip(after, start, strict=True))


@pytest.mark.parametrize('estep', ['em', 'sinkhorn'])
def test_one_update_by_hand(make_classifier, estep):
    """Two groups of two; their spread, weight, and the floor."""
    classifier = plain(make_classifier, estep=estep, variance_floor=0.25)
    members = torch.tensor(
        [[4.0, 0, 1, 0], [4, 0, 3, 0], [0, 4, 0, 1], [0, 4, 0, 5]]
    )
    mean = torch.tensor([[3.0, 0, 2, 0], [0, 3, 0, 3]])
    put(classifier, 1, members, mean)
    classifier.variance[1] = 0.1
    others = state_of(classifier)
    classifier.update()
    expected_mean = torch.tensor([[4.0, 0, 2, 0], [0, 4, 0, 3]])
    expected_variance = torch.tensor([[0.0, 0, 1, 0], [0, 0, 0, 4]]) + 0.25
    torch.testing.assert_close(classifier.mean[1], expected_mean)
    torch.testing.assert_close(classifier.variance[1], expected_variance)
    torch.testing.assert_close(
        classifier.log_weight[1].exp(), torch.tensor([0.5, 0.5])
    )
    assert classifier.num_updates.tolist() == [0, 1, 0, 0, 0]
    for name in ('mean', 'variance', 'log_weight'):
        keep = [0, 2, 3, 4]
        assert torch.equal(getattr(classifier, name)[keep], others[name][keep])


def test_update_is_one_step_of_em(make_classifier):
    """Equations (3) and (4) for overlapping components, by a loop."""
    classifier = plain(make_classifier, variance_floor=0.125)
    torch.manual_seed(0)
    members, mean = torch.randn(9, 4), torch.randn(2, 4)
    put(classifier, 2, members, mean)
    weight = torch.tensor([0.9, 0.1])
    classifier.log_weight[2] = weight.log()
    variance = classifier.variance[2].clone()
    gamma = torch.stack(
        [
            weight[m]
            * Normal(mean[m], variance[m].sqrt())
            .log_prob(members)
            .sum(1)
            .exp()
            for m in range(2)
        ]
    )
    gamma = gamma / gamma.sum(0)
    classifier.update()
    for m in range(2):
        center = (gamma[m, :, None] * members).sum(0) / gamma[m].sum()
        offset = (members - center).square()
        spread = (gamma[m, :, None] * offset).sum(0) / gamma[m].sum()
        torch.testing.assert_close(classifier.mean[2, m], center)
        torch.testing.assert_close(classifier.variance[2, m], spread + 0.125)
    torch.testing.assert_close(
        classifier.log_weight[2].exp(), gamma.sum(1) / 9
    )


def test_variance_is_about_the_mean_in_use(make_classifier):
    """While a mean is on its way, the distance it has left is variance."""
    classifier = plain(
        make_classifier, num_components=1, momentum=0.75, min_members=2
    )
    members = torch.tensor([[3.0, 0, 0, 0], [5, 0, 0, 0]])
    put(classifier, 0, members, torch.zeros(1, 4))
    classifier.update()
    # Mean .75 * 0 + .25 * 4 = 1; mean square of (2, 4) is 10.
    assert classifier.mean[0, 0].tolist() == [1, 0, 0, 0]
    torch.testing.assert_close(
        classifier.variance[0, 0], torch.tensor([10.0, 0, 0, 0])
    )


def test_unit_means_stay_on_the_sphere(make_classifier, unit_vectors):
    classifier = make_classifier(num_components=1, momentum=0.5)
    old = classifier.mean[2, 0].clone()
    members = unit_vectors(10)
    put(classifier, 2, members, old)
    classifier.update()
    center = F.normalize(members.mean(0), dim=0)
    expected = F.normalize(0.5 * old + 0.5 * center, dim=0)
    torch.testing.assert_close(classifier.mean[2, 0], expected)


@pytest.mark.parametrize('momentum', [0.0, 0.9])
def test_dead_component_moves_to_the_least_likely_member(
    make_classifier, momentum
):
    classifier = plain(make_classifier, momentum=momentum, min_members=4)
    members = torch.tensor(
        [[1.0, 0, 0, 0], [1.1, 0, 0, 0], [0.9, 0, 0, 0], [1, 0, 0, 0.7]]
    )
    mean = torch.stack([members[0], 50 * FAR])
    put(classifier, 3, members, mean)
    classifier.update()
    target = members[3]
    torch.testing.assert_close(
        classifier.mean[3, 1],
        momentum * mean[1] + (1 - momentum) * target,
    )
    assert classifier.log_vars()['gmm_dead'] == 1
    # Its weight is small but not 0, and the weights sum to 1.
    weight = classifier.log_weight[3].exp()
    assert 0 < weight[1] < 1e-3
    assert weight.sum() == pytest.approx(1)


def test_dead_components_take_different_members(make_classifier):
    """On one member they would be twins for ever."""
    classifier = plain(make_classifier, num_components=3)
    members = torch.tensor([[1.0, 0, 0, 0], [1, 0.1, 0, 0], [1, 0, 0, 0.7]])
    members = torch.cat([members, torch.tensor([[1, 0.5, 0, 0.0]])])
    mean = torch.stack([50 * FAR, members[0], 60 * FAR])
    put(classifier, 3, members, mean)
    classifier.update()
    assert classifier.log_vars()['gmm_dead'] == 2
    torch.testing.assert_close(classifier.mean[3, 0], members[2])
    torch.testing.assert_close(classifier.mean[3, 2], members[3])
    # Of a single member all can but take that one.
    put(classifier, 2, members[:1], mean)
    classifier.update()
    assert (classifier.mean[2] == members[0]).all()


def test_sinkhorn_leaves_a_component_that_nobody_chose(make_classifier):
    """There are fewer members than components."""
    for unit_mean in (True, False):
        classifier = plain(
            make_classifier, estep='sinkhorn', unit_mean=unit_mean
        )
        members = torch.tensor([[0.6, 0.8, 0, 0]])
        old = torch.tensor([[1.0, 0, 0, 0], [0, 0, 1.0, 0]])
        put(classifier, 1, members, old)
        classifier.update()
        torch.testing.assert_close(
            classifier.mean[1], torch.stack([members[0], old[1]])
        )


def test_sinkhorn_leaves_no_component_dead(make_classifier):
    classifier = plain(make_classifier, estep='sinkhorn')
    torch.manual_seed(0)
    members = F.normalize(torch.randn(12, 4), dim=-1)
    put(classifier, 0, members, torch.stack([members[0], 3 * FAR]))
    classifier.update()
    assert classifier.log_vars()['gmm_dead'] == 0
    assert classifier.log_weight[0].exp().min() > 0.1


@pytest.mark.parametrize('sparse', [True, False])
def test_components_with_one_member(make_classifier, sparse):
    """They take the variance of the class, or keep their own."""
    classifier = plain(
        make_classifier, sparse_variance=sparse, variance_floor=0.25
    )
    members = torch.tensor([[3.0, 0, 0, 0], [5, 0, 0, 0], [0, 0, 0, -60]])
    put(classifier, 0, members, torch.stack([members[0], 60 * FAR]))
    classifier.variance[0, 1] = 7.0
    classifier.update()
    assert classifier.mean[0].tolist() == [[4, 0, 0, 0], [0, 0, 0, -60]]
    assert classifier.variance[0, 0].tolist() == [1.25, 0.25, 0.25, 0.25]
    # Mean squares of the three members about (0, 0, 0, -60).
    expected = [34 / 3 + 0.25, 0.25, 0.25, 2400.25] if sparse else [7.0] * 4
    torch.testing.assert_close(
        classifier.variance[0, 1], torch.tensor(expected)
    )


@pytest.mark.parametrize(
    'schedule,first,shares',
    [
        ('fixed', 'momentum', [0.3, 0.3, 0.3]),
        ('fixed', 'assign', [0.0, 0.3, 0.3]),
        ('growing', 'momentum', [1 / 10, 2 / 11, 3 / 12]),
        ('growing', 'assign', [0.0, 2 / 11, 3 / 12]),
    ],
)
def test_momentum_schedules(make_classifier, schedule, first, shares):
    """The share of the old mean that each of three updates keeps."""
    classifier = plain(
        make_classifier,
        num_components=1,
        momentum=0.3,
        momentum_schedule=schedule,
        first_update=first,
    )
    members = torch.ones(2, 4)
    put(classifier, 0, members, torch.full((1, 4), 9.0))
    expected = 9.0
    for share in shares:
        classifier.dirty[0] = True
        classifier.update()
        expected = share * expected + (1 - share)
        torch.testing.assert_close(
            classifier.mean[0, 0], torch.full((4,), expected)
        )


def test_growing_momentum_ends_at_the_momentum(make_classifier):
    classifier = plain(
        make_classifier,
        num_components=1,
        momentum=0.9,
        momentum_schedule='growing',
    )
    put(classifier, 0, torch.ones(2, 4), torch.full((1, 4), 9.0))
    classifier.num_updates[0] = 10_000
    classifier.update()
    torch.testing.assert_close(
        classifier.mean[0, 0], torch.full((4,), 0.9 * 9 + 0.1)
    )


def test_cadence_and_dirty_classes(make_classifier, unit_vectors):
    """Every third step; only classes with members since their update."""
    classifier = make_classifier(em_interval=3, sparse_variance=True)
    features = unit_vectors(6)
    updates = []
    for labels in (
        [1, 1, -1, -1, -1, -1],
        [-1, 2, 2, -1, -1, -1],
        [-1] * 6,
        [-1] * 6,
        [-1, -1, -1, -1, 2, 4],
        [-1] * 6,
    ):
        classifier.enqueue(features, torch.tensor(labels))
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


def assert_finite(classifier):
    for name, value in classifier.named_buffers():
        assert value.isfinite().all(), name


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


def test_only_correct_ones_enter_on_request(fill, cluster):
    classifier, centers = fill(enqueue_policy='all', members=9)
    before = classifier.count.clone()
    classifier.enqueue_policy = 'correct'
    features = torch.stack([*centers, centers[2]])
    classifier.enqueue(features, torch.tensor([0, 1, 2, 3, 4, 1]))
    assert (classifier.count - before).tolist() == [1, 1, 1, 1, 1]
    features[0] = torch.nan
    classifier.enqueue(features, torch.tensor([0, 2, 3, 0, 1, 2]))
    assert (classifier.count - before).tolist() == [1, 1, 2, 1, 1]


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
        classifier.enqueue_policy = 'correct'
        classifier.enqueue(features, labels)
        logits = classifier(features)
        samples = classifier.sample(torch.randint(-1, 4, (2, 3)))
        ready = classifier.ready(torch.randint(-1, 4, (2, 3)))
        health = classifier.log_vars()
    assert logits.shape == (30, 5) and samples.shape == (2, 3, 16)
    assert ready.shape == (2, 3) and len(health) == 6
