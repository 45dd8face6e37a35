"""The M-step as pure functions; test_gmm_update.py tests it in place."""

import math

import pytest
import torch
import torch.nn.functional as F

from mmcpm.models.classifiers.mixture_update import (
    diagnose,
    fit,
    least_likely_members,
)

K, M, D, S = 3, 2, 4, 6


def test_least_likely_members_by_hand():
    members = torch.arange(2 * 4).view(2, 4, 1).float()
    likelihood = torch.tensor([[3.0, -1, 2, -5], [0, -9, 4, -2]])
    valid = torch.tensor([[True, True, True, False], [True] * 4])
    dead = torch.tensor([[True, False, True], [False, True, False]])
    found = least_likely_members(members, likelihood, valid, dead)
    # Class 0: members 1 and 2, as the third is none. Class 1: member 1.
    assert found[0, 0] == 1 and found[0, 2] == 2
    assert found[1, 1] == 5


def test_more_dead_components_than_members():
    members = torch.arange(4).view(1, 4, 1).float()
    valid = torch.tensor([[True, False, False, False]])
    dead = torch.ones(1, 3, dtype=torch.bool)
    found = least_likely_members(members, torch.zeros(1, 4), valid, dead)
    assert found.flatten().tolist() == [0, 0, 0]


@pytest.fixture
def mixtures():
    """Members, shares, and the present mixtures of three classes.

    Class 0 has all members; component 1 of class 1 has one, that of class 2
    none.
    """
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    members = F.normalize(draw(K, S, D), dim=-1)
    valid = torch.ones(K, S, dtype=torch.bool)
    valid[1, 4:] = False
    shares = draw(K, S, M).softmax(-1)
    shares[1, :, 0] = torch.tensor([1.0, 1, 0, 1, 0, 0])
    shares[1, :, 1] = torch.tensor([0.0, 0, 1, 0, 0, 0])
    shares[2] = torch.tensor([1.0, 0.0])
    dead = torch.zeros(K, M, dtype=torch.bool)
    dead[2, 1] = True
    return dict(
        members=members,
        responsibilities=shares,
        valid=valid,
        dead=dead,
        mean=F.normalize(draw(K, M, D), dim=-1),
        variance=draw(K, M, D).square() + 0.1,
        seed=F.normalize(draw(K, M, D), dim=-1),
        momentum=0.3,
    )


def test_fit_is_that_of_a_loop(mixtures):
    floor = 1e-3
    means, variances, weights, spreads = fit(**mixtures, variance_floor=floor)
    for k in range(K):
        here = mixtures['valid'][k]
        members = mixtures['members'][k][here]
        wanted = []
        for m in range(M):
            share = mixtures['responsibilities'][k, here, m][:, None]
            total = float(share.sum())
            if mixtures['dead'][k, m]:
                center = mixtures['seed'][k, m]
            else:
                center = (share * members).sum(0) / total
            center = center / center.norm()
            mean = 0.3 * mixtures['mean'][k, m] + 0.7 * center
            mean = mean / mean.norm()
            torch.testing.assert_close(means[k, m], mean)
            if total >= 2:
                about = share * (members - mean).square()
                variance = about.sum(0) / total + floor
            else:
                variance = mixtures['variance'][k, m]
            torch.testing.assert_close(variances[k, m], variance)
            # Of the members about their own center, wherever the mean is.
            if total >= 2:
                own = (share * members).sum(0) / total
                spread = (share * (members - own).square()).sum(0) / total
            else:
                spread = members.var(0, unbiased=False)
            torch.testing.assert_close(spreads[k, m], spread + floor)
            wanted.append(max(total / len(members), 1e-4))
        torch.testing.assert_close(
            weights[k],
            torch.tensor(wanted, dtype=torch.float64) / sum(wanted),
        )
    assert (weights > 0).all()


def test_diagnosis_by_hand():
    mean = torch.tensor([[[1.0, 0]], [[0, 2.0]], [[1, 1.0]]])
    # Two members of class 0, one named wrongly; one of class 1; none of 2.
    log_prob = torch.zeros(3, 2, 3)
    log_prob[0] = torch.tensor([[2.0, 0, 0], [0, 3, 0]])
    log_prob[1] = torch.tensor([[0.0, 1, 0], [9, 0, 0]])
    valid = torch.tensor([[True, True], [True, False], [False, False]])
    updates = torch.tensor([1, 3, 0])
    cosine, accuracy, bias = diagnose(mean, log_prob, valid, updates)
    assert float(cosine) == pytest.approx(0.0)  # of classes 0 and 1
    assert float(accuracy) == pytest.approx(2 / 3)
    # Means over the members: (2/3, 4/3, 0), variance 8/27; spreads of the
    # members: variances of (2, 0, 0), (0, 3, 0) and (0, 1, 0), mean 28/27.
    assert float(bias) == pytest.approx(8 / 28)
    cosine = diagnose(mean, log_prob, valid, torch.tensor([1, 1, 1]))[0]
    assert float(cosine) == pytest.approx(2 * math.sqrt(0.5) / 3)


def test_diagnosis_of_nothing():
    outcome = diagnose(
        torch.zeros(K, M, D),
        torch.zeros(K, S, K),
        torch.zeros(K, S, dtype=torch.bool),
        torch.zeros(K, dtype=torch.int64),
    )
    assert outcome.tolist() == [0, 0, 0]
