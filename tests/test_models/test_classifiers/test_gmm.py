import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    Normal,
)

import mmcpm.models.classifiers.gmm as gmm

ALL = (0, 1, 2, 3, 4)


def density(classifier, index, embedding):
    """Log density of one class by torch.distributions, from raw buffers."""
    return MixtureSameFamily(
        Categorical(logits=classifier.log_weight[index]),
        Independent(
            Normal(classifier.mean[index], classifier.variance[index].sqrt()),
            1,
        ),
    ).log_prob(embedding)


def randomize(classifier, seed=0):
    """Give a classifier mixtures with something different everywhere."""
    generator = torch.Generator().manual_seed(seed)
    size = classifier.mean.shape
    classifier.mean.copy_(
        F.normalize(torch.randn(size, generator=generator), dim=-1)
    )
    classifier.variance.copy_(
        (torch.rand(size, generator=generator) + 0.5) / size[-1]
    )
    classifier.log_weight.copy_(
        torch.randn(size[:2], generator=generator).log_softmax(-1)
    )
    classifier.count.fill_(10)
    classifier.num_updates.fill_(1)


def test_embedding_is_a_normalized_layer_norm(make_classifier):
    classifier = make_classifier()
    torch.nn.init.normal_(classifier.feature_norm.weight)
    torch.nn.init.normal_(classifier.feature_norm.bias)
    features = 3 * torch.randn(2, 5, 32) + 1
    expected = classifier.feature_norm(features)
    expected = expected / expected.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(classifier.embed(features), expected)
    half = classifier.embed(features.half())
    assert half.dtype == torch.float32


def test_class_densities_are_those_of_torch_distributions(make_classifier):
    classifier = make_classifier(shrinkage=0.0).double()
    randomize(classifier)
    embedding = classifier.embed(torch.randn(3, 6, 32, dtype=torch.float64))
    log_prob = classifier.log_prob(embedding)
    assert log_prob.shape == (3, 6, 5)
    for index in range(5):
        torch.testing.assert_close(
            log_prob[..., index], density(classifier, index, embedding)
        )


def test_max_reduction_leaves_the_weights_out(make_classifier):
    classifier = make_classifier(reduction='max', shrinkage=0.0)
    randomize(classifier)
    embedding = classifier.embed(torch.randn(6, 32))
    expected = [
        Independent(Normal(m, v.sqrt()), 1).log_prob(embedding[:, None])
        for m, v in zip(classifier.mean, classifier.variance, strict=True)
    ]
    torch.testing.assert_close(
        classifier.log_prob(embedding), torch.stack(expected, 1).amax(-1)
    )


@pytest.mark.parametrize(
    'logit_norm,gain', [('layernorm', 4.0), ('scale', 1 / 32), ('none', None)]
)
def test_logit_normalizations(make_classifier, logit_norm, gain):
    classifier = make_classifier(logit_norm=logit_norm)
    randomize(classifier)
    features = torch.randn(6, 32)
    log_prob = classifier.log_prob(classifier.embed(features))
    expected = log_prob
    if logit_norm == 'layernorm':
        centered = log_prob - log_prob.mean(-1, keepdim=True)
        expected = (
            centered / log_prob.var(-1, correction=0, keepdim=True).sqrt()
        )
    if gain:
        # 8 / sqrt(4 classes); 1 / D.
        assert classifier.logit_gain.item() == gain
        expected = gain * expected
    else:
        assert not hasattr(classifier, 'logit_gain')
    torch.testing.assert_close(
        classifier(features), expected, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize('estep', gmm.ESTEPS)
@pytest.mark.parametrize('reduction', gmm.REDUCTIONS)
@pytest.mark.parametrize('logit_norm', gmm.NORMALIZATIONS)
def test_separated_clusters_are_told_apart(
    fill, cluster, estep, reduction, logit_norm
):
    classifier, centers = fill(
        estep=estep, reduction=reduction, logit_norm=logit_norm
    )
    for k in ALL:
        new = cluster(centers[k], 30, 0.8, seed=100 + k)
        assert (classifier(new).argmax(-1) == k).all()
    health = classifier.log_vars()
    assert health['gmm_bank_accuracy'] == 1
    assert health['gmm_ready'] == 4
    assert health['gmm_bank_fill'] == pytest.approx(5 * 60 / (5 * 64))


def test_random_prototypes_stay_apart_under_slow_momentum(fill):
    """The default: prototypes move little, features are to come to them."""
    classifier, _ = fill(momentum=0.999)
    start, _ = fill(classes=(), momentum=0.999)
    moved = (classifier.mean * start.mean).sum(-1)
    assert moved.min() > 0.99
    assert (classifier.num_updates == 3).all()


@pytest.mark.parametrize('seen', [(1,), (0, 1, 4)])
def test_unseen_class_does_not_attract(fill, unit_vectors, seen):
    """A feature at cosine .6 to its class is not given to an unseen one."""
    classifier, centers = fill(seen, members=20, rho=0.9, embed_dims=256)
    other = unit_vectors(200, 256, seed=5)
    center = centers[1]
    other = F.normalize(other - (other @ center)[:, None] * center, dim=1)
    features = 0.6 * center + 0.8 * other
    torch.testing.assert_close(features @ center, torch.full((200,), 0.6))
    assert (classifier(features).argmax(-1) == 1).all()


@pytest.mark.parametrize(
    'rho,cosine', [(0.5, 0.79), (0.8, 0.90), (0.95, 0.96)]
)
def test_samples_spread_as_the_members_do(
    fill, cluster, unit_vectors, rho, cosine
):
    """Figures measured for 256 dimensions and a floor of 1e-4."""
    classifier, _ = fill(
        (),
        embed_dims=256,
        num_components=1,
        bank_size=128,
    )
    members = cluster(unit_vectors(1, 256, seed=3)[0], 128, rho)
    pairs = (members @ members.T)[~torch.eye(128, dtype=torch.bool)]
    assert pairs.mean() == pytest.approx(rho, abs=0.02)
    classifier.enqueue(members, torch.full((128,), 2))
    torch.manual_seed(0)
    samples = classifier.sample(torch.full((400,), 2))
    measured = (samples @ classifier.mean[2, 0]).mean()
    assert measured == pytest.approx(cosine, abs=0.02)


@pytest.mark.parametrize(
    'settings,cosine',
    [
        ({}, 0.91),
        ({'sampling': 'spread'}, 0.91),
        ({'sampling': 'variance'}, 0.58),
    ],
)
def test_a_mean_far_from_its_members_is_not_drowned(
    make_classifier, cluster, unit_vectors, settings, cosine
):
    """Members at a right angle to a mean that hardly moves.

    Their spread, of 1 - rho = 0.2, gives 1 / sqrt(1 + 0.2) = 0.91; with
    their squared distance of 2 to the mean it is 1 / sqrt(1 + 2) = 0.58.
    """
    classifier = make_classifier(
        embed_dims=64,
        num_components=1,
        bank_size=128,
        momentum=0.999,
        **settings,
    )
    mean, center = unit_vectors(2, 64, seed=3)
    center = F.normalize(center - (center @ mean) * mean, dim=0)
    classifier.mean[2, 0] = mean
    members = cluster(center, 128, 0.8)
    classifier.enqueue(members, torch.full((128,), 2))
    classifier.update()
    torch.manual_seed(0)
    samples = classifier.sample(torch.full((400,), 2))
    measured = (samples @ classifier.mean[2, 0]).mean()
    assert measured == pytest.approx(cosine, abs=0.03)


def test_samples_belong_to_their_class(fill):
    classifier, _ = fill()
    torch.manual_seed(0)
    labels = torch.arange(4).repeat(50, 1)
    samples = classifier.sample(labels)
    assert samples.shape == (50, 4, 32) and not samples.requires_grad
    torch.testing.assert_close(samples.norm(dim=-1), torch.ones(50, 4))
    assert (classifier.log_prob(samples).argmax(-1) == labels).all()


def test_sampling_is_a_matter_of_the_seed(fill):
    classifier, _ = fill()
    labels = torch.tensor([[0, 3, -1]])
    torch.manual_seed(7)
    first = classifier.sample(labels)
    assert (classifier.sample(labels) != first).any()
    torch.manual_seed(7)
    assert torch.equal(classifier.sample(labels), first)


def test_components_are_drawn_by_weight(make_classifier):
    classifier = make_classifier()
    weight = torch.tensor([0.7, 0.25, 0.05])
    classifier.log_weight[1] = weight.log()
    drawn = classifier.sample(torch.ones(4000, dtype=torch.long), noise=False)
    component = (drawn @ classifier.mean[1].T).argmax(1)
    torch.testing.assert_close(drawn, classifier.mean[1, component])
    share = torch.bincount(component, minlength=3) / 4000
    # Three standard deviations of the share are below .022.
    torch.testing.assert_close(share, weight, rtol=0, atol=0.025)


def test_gradients_reach_features_and_norms_but_no_mixture(fill):
    classifier, _ = fill()
    assert {name for name, _ in classifier.named_parameters()} == {
        'feature_norm.weight',
        'feature_norm.bias',
        'logit_gain',
    }
    assert not any(b.requires_grad for b in classifier.buffers())
    features = torch.randn(6, 32, requires_grad=True)
    F.cross_entropy(classifier(features), torch.arange(6) % 5).backward()
    assert features.grad.abs().sum(1).min() > 0
    assert all(p.grad.abs().sum() > 0 for p in classifier.parameters())
    assert not any(b.requires_grad for b in classifier.buffers())


def test_learning_between_forward_and_backward_is_allowed(fill):
    """The mixtures of the forward pass count, not those after it."""
    gradients = []
    for learns in (False, True):
        classifier, _ = fill()
        torch.manual_seed(1)
        features = torch.randn(6, 32, requires_grad=True)
        loss = F.cross_entropy(classifier(features), torch.arange(6) % 5)
        if learns:
            before = classifier.mean.clone()
            classifier.enqueue(features, torch.arange(6) % 5)
            assert (classifier.mean != before).any()
        loss.backward()
        gradients.append(features.grad)
    assert torch.equal(*gradients)


def test_two_classes_can_be_certain(fill):
    """A plain layer norm over three logits would end at p = .89."""
    classifier, centers = fill((0, 1, 2), num_classes=2)
    probability = classifier(centers).softmax(-1)
    assert probability.diagonal().min() > 0.99


@pytest.mark.parametrize('logit_norm', gmm.NORMALIZATIONS)
def test_logits_are_finite_and_bounded_for_extreme_features(fill, logit_norm):
    # Members that are all equal: the narrowest mixtures there can be.
    classifier, _ = fill(rho=1.0, logit_norm=logit_norm)
    torch.manual_seed(0)
    features = torch.randn(5, 32)
    extreme = torch.stack(
        [
            features[0] * 1e4,
            features[1] * 1e-8,
            torch.zeros(32),
            torch.full((32,), 65504.0),
            features[4].clamp(-1, 1) * 65504,
        ]
    )
    for inputs in (extreme, extreme.half()):
        logits = classifier(inputs)
        assert logits.dtype == torch.float32 and logits.isfinite().all()
        bound = {'layernorm': 4 * 2, 'scale': 1e4, 'none': 1e4}[logit_norm]
        assert logits.abs().max() <= bound + 1e-3
    features.requires_grad_()
    classifier(features * 1e4).logsumexp(-1).sum().backward()
    assert features.grad.isfinite().all()


@pytest.mark.parametrize(
    'name,value',
    [
        ('estep', 'hard'),
        ('reduction', 'mean'),
        ('logit_norm', 'batchnorm'),
        ('sampling', 'mean'),
        ('num_components', 0),
        ('em_interval', 0),
        ('bank_size', 7),
        ('momentum', 1.5),
        ('variance_floor', 0.0),
        ('shrinkage', -1.0),
    ],
)
def test_bad_arguments(make_classifier, name, value):
    with pytest.raises(ValueError, match=rf'{name}.* got.*{value}'):
        make_classifier(**{name: value})


def test_half_precision_is_kept_out(fill, cluster):
    """Autocast changes neither densities nor the update."""
    results = []
    for enabled in (False, True):
        classifier, centers = fill()
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            classifier.enqueue(
                cluster(centers[2], 9, 0.7), torch.full((9,), 2)
            )
            logits = classifier(centers)
        results.append((logits, dict(classifier.named_buffers())))
    (plain, state), (cast, cast_state) = results
    assert torch.equal(plain, cast)
    for name, value in state.items():
        assert torch.equal(value, cast_state[name]), name


def test_diagnosis_by_loops(fill):
    # Overlapping clusters: neither perfect nor hopeless.
    classifier, _ = fill((0, 1, 2, 4), rho=0.05, members=12, shrinkage=0.0)
    fitted = (0, 1, 2, 4)
    centers = F.normalize(classifier.mean.mean(1), dim=-1)
    cosines = [
        float(centers[a] @ centers[b])
        for a in fitted
        for b in fitted
        if a != b
    ]
    right, scores = [], []
    effective = classifier.effective_variance()
    for k in fitted:
        for member in classifier.bank[k, : classifier.count[k]]:
            row = []
            for c in range(5):
                offset = member - classifier.mean[c]
                log_prob = -0.5 * (
                    offset.square() / effective[c]
                    + (2 * math.pi * effective[c]).log()
                ).sum(-1)
                row.append((log_prob + classifier.log_weight[c]).logsumexp(0))
            scores.append(torch.stack(row))
            right.append(float(scores[-1].argmax() == k))
    scores = torch.stack(scores)
    bias = scores.mean(0).var(correction=0)
    spread = scores.var(1, correction=0).mean()
    health = classifier.log_vars()
    assert health['gmm_mean_cosine'] == pytest.approx(
        sum(cosines) / len(cosines), abs=1e-5
    )
    assert health['gmm_bank_accuracy'] == pytest.approx(
        sum(right) / len(right)
    )
    assert 0.3 < sum(right) / len(right) <= 1
    assert health['gmm_class_bias'] == pytest.approx(
        float(bias / spread), rel=1e-3
    )
    assert health['gmm_ready'] == 3


def test_log_vars_before_anything_was_learned(make_classifier):
    health = make_classifier().log_vars()
    assert all(float(value) == 0 for value in health.values())
    assert not any('loss' in name for name in health)
