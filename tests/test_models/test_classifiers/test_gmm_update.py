"""One update of GMMClassifier in place: EM, momentum, dead components."""

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Normal

FAR = torch.tensor([0.0, 0.0, 0.0, -1.0])


def state_of(classifier):
    return {k: v.clone() for k, v in classifier.named_buffers()}


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
                shrinkage=0.0,
                variance_floor=1e-9,
            ),
            **kwargs,
        }
    )


@pytest.mark.parametrize('estep', ['em', 'sinkhorn'])
def test_one_update_by_hand(make_classifier, estep):
    """Two groups of two; their spread, weight, and the floor."""
    classifier = plain(make_classifier, estep=estep, variance_floor=0.25)
    members = torch.tensor(
        [
            [0.6, 0, 0.7, 0],
            [0.6, 0, 0.9, 0],
            [0, 0.8, 0, 0.4],
            [0, 0.8, 0, 0.8],
        ]
    )
    mean = torch.tensor([[0.8, 0, 0.6, 0], [0, 0.6, 0, 0.8]])
    put(classifier, 1, members, mean)
    classifier.variance[1] = 0.01
    others = state_of(classifier)
    classifier.update()
    # The centers of the groups lie on the unit sphere.
    expected_mean = torch.tensor([[0.6, 0, 0.8, 0], [0, 0.8, 0, 0.6]])
    expected_variance = torch.tensor([[0, 0, 0.01, 0], [0, 0, 0, 0.04]]) + 0.25
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
        center = center / center.norm()
        offset = (members - center).square()
        about = (gamma[m, :, None] * offset).sum(0) / gamma[m].sum()
        torch.testing.assert_close(classifier.mean[2, m], center)
        torch.testing.assert_close(classifier.variance[2, m], about + 0.125)
    torch.testing.assert_close(
        classifier.log_weight[2].exp(), gamma.sum(1) / 9
    )


def test_variance_is_about_the_mean_in_use(make_classifier):
    """While a mean is on its way, the distance it has left is variance."""
    classifier = plain(
        make_classifier, num_components=1, momentum=0.5, min_members=2
    )
    members = torch.tensor([[0.0, 1, 0.5, 0], [0, 1, -0.5, 0]])
    put(classifier, 0, members, torch.tensor([[1.0, 0, 0, 0]]))
    classifier.update()
    # Half way from (1, 0) to the center (0, 1), on the sphere.
    half = 0.5**0.5
    torch.testing.assert_close(
        classifier.mean[0, 0], torch.tensor([half, half, 0, 0])
    )
    torch.testing.assert_close(
        classifier.variance[0, 0],
        torch.tensor([half**2, (1 - half) ** 2, 0.25, 0]),
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


def test_every_update_keeps_the_same_share_of_the_mean(make_classifier):
    classifier = plain(make_classifier, num_components=1, momentum=0.3)
    center = torch.tensor([0.0, 1, 0, 0])
    put(classifier, 0, center.repeat(2, 1), torch.tensor([[1.0, 0, 0, 0]]))
    expected = torch.tensor([1.0, 0, 0, 0])
    for _ in range(3):
        classifier.dirty[0] = True
        classifier.update()
        expected = 0.3 * expected + 0.7 * center
        expected = expected / expected.norm()
        torch.testing.assert_close(classifier.mean[0, 0], expected)


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
    target = F.normalize(members[3], dim=0)
    moved = momentum * mean[1] + (1 - momentum) * target
    torch.testing.assert_close(
        classifier.mean[3, 1], F.normalize(moved, dim=0)
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
    targets = F.normalize(members[2:], dim=1)
    torch.testing.assert_close(classifier.mean[3, [0, 2]], targets)
    # Of a single member all can but take that one.
    put(classifier, 2, members[:1], mean)
    classifier.update()
    assert (classifier.mean[2] == members[0]).all()


def test_sinkhorn_leaves_a_component_that_nobody_chose(make_classifier):
    """There are fewer members than components."""
    classifier = plain(make_classifier, estep='sinkhorn')
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


def test_component_with_one_member_keeps_its_variance(make_classifier):
    classifier = plain(make_classifier, variance_floor=0.25)
    members = torch.tensor([[3.0, 0, 0, 0], [5, 0, 0, 0], [0, 0, 0, -60]])
    put(classifier, 0, members, torch.stack([members[0], 60 * FAR]))
    classifier.variance[0, 1] = 7.0
    classifier.update()
    assert classifier.mean[0].tolist() == [[1, 0, 0, 0], [0, 0, 0, -1]]
    # Mean square of 3 and 5 about 1.
    assert classifier.variance[0, 0].tolist() == [10.25, 0.25, 0.25, 0.25]
    assert classifier.variance[0, 1].tolist() == [7.0] * 4
