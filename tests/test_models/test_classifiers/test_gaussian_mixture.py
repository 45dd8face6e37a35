import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    Normal,
)

from mmcpm.models.classifiers.gaussian_mixture import (
    class_moments,
    component_log_prob,
    em_responsibilities,
    maximization,
    member_log_prob,
    shrink_variance,
    sinkhorn_responsibilities,
)


def mixture(classes=4, components=3, dims=6, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    size = (classes, components, dims)
    mean = torch.randn(size, generator=generator, dtype=dtype)
    variance = torch.rand(size, generator=generator, dtype=dtype) + 0.05
    weight = torch.rand(size[:2], generator=generator, dtype=dtype) + 0.1
    return mean, variance, (weight / weight.sum(1, keepdim=True)).log()


def members_of(classes=4, samples=9, dims=6, seed=1):
    """Members, and which slots hold one: class 2 has none."""
    generator = torch.Generator().manual_seed(seed)
    members = torch.randn(
        classes, samples, dims, generator=generator, dtype=torch.float64
    )
    counts = torch.tensor([samples, 4, 0, 1])[:classes]
    return members, torch.arange(samples) < counts[:, None]


def test_log_density_is_that_of_torch_distributions():
    mean, variance, log_weight = mixture()
    features = torch.randn(2, 5, 6, dtype=torch.float64)
    components = component_log_prob(features, mean, variance)
    assert components.shape == (2, 5, 4, 3)
    for index in range(4):
        expected = MixtureSameFamily(
            Categorical(logits=log_weight[index]),
            Independent(Normal(mean[index], variance[index].sqrt()), 1),
        ).log_prob(features)
        torch.testing.assert_close(
            (components + log_weight)[:, :, index].logsumexp(-1), expected
        )


def test_expanded_square_in_float32():
    """Unit vectors of 256 dimensions and narrow components, as trained."""
    mean, variance, _ = mixture(8, 3, 256, torch.float32)
    mean = F.normalize(mean, dim=-1)
    variance = variance / 256 + 1e-4
    features = F.normalize(torch.randn(40, 256), dim=-1)
    difference = features[:, None, None].double() - mean.double()
    direct = -0.5 * (
        difference.square() / variance.double()
        + variance.double().log()
        + math.log(2 * math.pi)
    ).sum(-1)
    expanded = component_log_prob(features, mean, variance)
    torch.testing.assert_close(expanded.double(), direct, rtol=0, atol=5e-3)


def test_members_are_scored_by_their_own_class():
    mean, variance, _ = mixture()
    members, _ = members_of()
    everything = component_log_prob(members, mean, variance)
    own = torch.arange(4)
    torch.testing.assert_close(
        member_log_prob(members, mean, variance), everything[own, :, own]
    )


def naive_em_step(members, mean, variance, log_weight):
    """One step for one class by equations (3) and (4), member by member."""
    joint = torch.stack(
        [
            torch.stack(
                [
                    log_weight[m].exp()
                    * Normal(mean[m], variance[m].sqrt())
                    .log_prob(x)
                    .sum()
                    .exp()
                    for m in range(len(mean))
                ]
            )
            for x in members
        ]
    )
    gamma = joint / joint.sum(1, keepdim=True)
    counts, means, variances = [], [], []
    for m in range(len(mean)):
        counts.append(gamma[:, m].sum())
        means.append((gamma[:, m, None] * members).sum(0) / counts[-1])
        offset = members - means[-1]
        variances.append(
            (gamma[:, m, None] * offset.square()).sum(0) / counts[-1]
        )
    return gamma, *(torch.stack(x) for x in (counts, means, variances))


def test_em_step_is_that_of_a_loop():
    mean, variance, log_weight = mixture()
    members, valid = members_of()
    shares = em_responsibilities(
        member_log_prob(members, mean, variance), log_weight, valid
    )
    counts, new_mean, new_variance = maximization(members, shares)
    for index in (0, 1, 3):
        gamma, *expected = naive_em_step(
            members[index][valid[index]],
            mean[index],
            variance[index],
            log_weight[index],
        )
        torch.testing.assert_close(shares[index][valid[index]], gamma)
        actual = (counts[index], new_mean[index], new_variance[index])
        if index == 3:
            # One member: spread 0, where rounding is all that differs; a
            # share below 1e-6 has no mean of its own.
            torch.testing.assert_close(actual[0], expected[0])
            assert new_variance[index].max() < 1e-9
            continue
        torch.testing.assert_close(list(actual), expected)
    assert (shares[~valid] == 0).all()
    assert (counts[2] == 0).all() and (new_mean[2] == 0).all()


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_em_raises_the_likelihood(seed):
    torch.manual_seed(seed)
    mean, variance, log_weight = mixture(2, 3, 4, seed=seed)
    members = torch.randn(2, 40, 4, dtype=torch.float64)
    valid = torch.ones(2, 40, dtype=torch.bool)

    def likelihood():
        log_prob = member_log_prob(members, mean, variance)
        joint = log_prob + log_weight[:, None]
        return log_prob, joint.logsumexp(-1).sum(1)

    log_prob, before = likelihood()
    for _ in range(5):
        shares = em_responsibilities(log_prob, log_weight, valid)
        counts, mean, variance = maximization(members, shares)
        variance = variance.clamp(min=1e-9)
        log_weight = (counts / 40).log()
        log_prob, after = likelihood()
        assert (after >= before - 1e-8 * before.abs()).all()
        before = after


def naive_sinkhorn(log_prob, epsilon=0.05, iterations=3):
    """GMMSeg's distributed_sinkhorn for one class: [samples, components]."""
    plan = (log_prob / log_prob.abs().max() / epsilon).exp().T
    plan = plan / plan.sum()
    components, samples = plan.shape
    for _ in range(iterations):
        plan = plan / plan.sum(1, keepdim=True) / components
        plan = plan / plan.sum(0, keepdim=True) / samples
    return (plan * samples).T


@pytest.mark.parametrize('iterations', [1, 3])
def test_sinkhorn_is_that_of_a_loop(iterations):
    mean, variance, _ = mixture()
    members, valid = members_of()
    log_prob = member_log_prob(members, mean, variance)
    shares = sinkhorn_responsibilities(log_prob, valid, iterations=iterations)
    for index in (0, 1, 3):
        plan = naive_sinkhorn(
            log_prob[index][valid[index]], iterations=iterations
        )
        expected = F.one_hot(plan.argmax(1), 3).double()
        torch.testing.assert_close(shares[index][valid[index]], expected)
    assert (shares[~valid] == 0).all()
    assert shares.isfinite().all()


def test_sinkhorn_gives_equal_shares_where_em_gives_one_everything():
    """All members are nearest to one component."""
    torch.manual_seed(0)
    members = F.normalize(torch.randn(1, 31, 8), dim=-1)
    valid = torch.ones(1, 31, dtype=torch.bool)
    mean = torch.zeros(1, 3, 8)
    mean[0, 1:, 0] = 3.0
    mean[0, 2, 1] = 3.0
    variance = torch.full((1, 3, 8), 0.1)
    log_prob = member_log_prob(members, mean, variance)
    em = em_responsibilities(log_prob, torch.zeros(1, 3), valid)
    assert em[0, :, 0].sum() > 30
    # A sharp, converged plan; a smooth one is rounded less evenly.
    shares = sinkhorn_responsibilities(
        log_prob, valid, epsilon=0.001, iterations=300
    )
    assert (shares.sum(1) - 31 / 3).abs().max() <= 1
    shares = sinkhorn_responsibilities(log_prob, valid)
    assert (shares.sum(1) - 31 / 3).abs().max() <= 4


def test_class_moments_are_those_of_its_members():
    members, valid = members_of()
    mean, variance = class_moments(members, valid)
    for index in (0, 1, 3):
        own = members[index][valid[index]]
        torch.testing.assert_close(mean[index], own.mean(0))
        torch.testing.assert_close(
            variance[index], own.var(0, correction=0), atol=1e-12, rtol=1e-6
        )
    assert (mean[2] == 0).all() and (variance[2] == 0).all()


def test_shrinkage_by_hand():
    # Two components of one dimension; classes of 24 and 8 members, one that
    # has members but no fit, and one without anything.
    variance = torch.tensor([[1.0, 3.0], [6.0, 6.0], [9.0, 9.0], [7.0, 7.0]])
    shrunk = shrink_variance(
        variance[..., None],
        torch.tensor([24, 8, 50, 0]),
        torch.tensor([True, True, False, False]),
        strength=8.0,
    )[..., 0]
    shared = (24 * 2.0 + 8 * 6.0) / 32
    torch.testing.assert_close(
        shrunk,
        torch.tensor(
            [
                [0.75 * 1.0 + 0.25 * shared, 0.75 * 3.0 + 0.25 * shared],
                [0.5 * 6.0 + 0.5 * shared] * 2,
                [shared] * 2,
                [shared] * 2,
            ]
        ),
    )


def test_without_shrinkage_only_unseen_classes_change():
    variance = torch.tensor([1.0, 5.0, 7.0]).view(3, 1, 1)
    shrunk = shrink_variance(
        variance,
        torch.tensor([4, 4, 0]),
        torch.tensor([True, True, False]),
        strength=0.0,
    )
    assert shrunk.flatten().tolist() == [1.0, 5.0, 3.0]


@pytest.mark.parametrize('strength', [0.0, 8.0])
def test_nothing_fitted_nothing_shrunk(strength):
    _, variance, _ = mixture()
    shrunk = shrink_variance(
        variance,
        torch.tensor([5, 0, 0, 3]),
        torch.zeros(4, dtype=torch.bool),
        strength,
    )
    torch.testing.assert_close(shrunk, variance, rtol=0, atol=0)
