"""CAVP's contrastive loss: values of its own code, and loops."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmcpm.models.losses.pixel_contrastive_loss import (
    PixelContrastiveLoss,
    sample_pixels_and_labels,
    supervised_info_nce,
)


def by_rule(seed, shape):
    """Inputs of the reference values."""
    values = np.random.RandomState(seed).standard_normal(shape)
    return torch.from_numpy(values.astype(np.float32))


def case(name):
    """Labels of the reference values: own, shuffled, views, the value."""
    own = torch.zeros(2, 64, 64, dtype=torch.int64)
    if name == 'all pixels':
        own[..., :32] = 5
        shuffled = own.clone()
        shuffled[0] = 0
        return own, shuffled, 256, 6.119922161102295
    own[0, :40, :36] = 3
    own[0, 44:, 20:60] = 7
    own[1, 10:60, 30:] = 7
    own[1, :8] = 255
    if name == 'no match':
        return own, torch.zeros_like(own), 32, 4.566866397857666
    shuffled = own.clone()
    shuffled[1] = torch.where(own[1] == 255, 255, 0)
    return own, shuffled, 48, 4.9480881690979


@pytest.mark.parametrize('name', ['all pixels', 'some match', 'no match'])
def test_values_of_the_original(name):
    own, shuffled, views, expected = case(name)
    loss = PixelContrastiveLoss(max_views=views, loss_weight=2.0)
    found = loss(
        by_rule(380, (2, 304, 16, 16)),
        by_rule(381, (2, 304, 16, 16)),
        own,
        shuffled,
        # The first pixels of every class, in their order.
        random=torch.arange(512) / 512,
    )
    assert float(found) == pytest.approx(2 * expected, rel=1e-5)


def test_info_nce_of_the_original():
    features = F.normalize(by_rule(382, (60, 304)), dim=1)
    labels = torch.from_numpy(np.random.RandomState(383).randint(0, 4, 60))
    found = supervised_info_nce(features, labels, 0.1)
    assert float(found) == pytest.approx(3.847398281097412, rel=1e-5)


def test_info_nce_in_loops():
    torch.manual_seed(0)
    features = F.normalize(torch.randn(9, 4, dtype=torch.float64), dim=1)
    labels = [0, 0, 1, 1, 1, 2, 0, 3, 3]
    s = (features @ features.T / 0.2).tolist()
    total = 0.0
    for i, label in enumerate(labels):
        others = [j for j in range(9) if j != i]
        negatives = [math.exp(s[i][j]) for j in others if labels[j] != label]
        terms = [
            -math.log(math.exp(s[i][j]) / (math.exp(s[i][j]) + sum(negatives)))
            for j in others
            if labels[j] == label
        ]
        total += sum(terms) / len(terms) if terms else 0.0
    found = supervised_info_nce(features, torch.tensor(labels), 0.2)
    assert float(found) == pytest.approx(total / 9)


def test_what_is_drawn():
    """Classes with too few pixels are left out, the background is not."""
    labels = torch.tensor([0] * 3 + [1] * 5 + [2] * 3 + [255] * 9)
    shuffled = labels.where(labels == 255, torch.tensor(0))
    matched = torch.arange(20.0)[:, None]
    torch.manual_seed(0)
    features, classes = sample_pixels_and_labels(
        matched, matched + 100, labels, shuffled, max_views=4
    )
    own, other = features[:7, 0].tolist(), features[7:, 0].tolist()
    assert classes.tolist() == [1] * 4 + [0] * 3 + [0] * 4
    assert len({*own[:4]}) == 4 and {*own[:4]} <= {*range(3, 8)}
    assert sorted(own[4:]) == [0, 1, 2]
    # Foreground pixels, also of the class that was left out.
    assert len({*other}) == 4 and {*other} <= {*range(103, 111)}


def test_drawing_is_random():
    labels = torch.zeros(1000, dtype=torch.int64)
    matched = torch.arange(1000.0)[:, None]
    torch.manual_seed(0)
    drawn = [
        sample_pixels_and_labels(matched, matched, labels, labels, 50)[0]
        for _ in range(20)
    ]
    mean = float(torch.cat(drawn).mean())
    assert mean == pytest.approx(499.5, abs=40)  # 4.4 standard deviations


@pytest.mark.parametrize('value', [255, 0, 4])
def test_labels_of_one_kind(value):
    """Ignored, background or foreground only: finite, with gradients."""
    maps = [torch.randn(1, 6, 4, 4, requires_grad=True) for _ in range(2)]
    labels = torch.full((1, 8, 8), value)
    loss = PixelContrastiveLoss(max_views=8)(*maps, labels, labels)
    loss.backward()
    assert float(loss) == 0
    assert all(m.grad.isfinite().all() for m in maps)


def test_half_precision_changes_little():
    own, shuffled, views, expected = case('all pixels')
    maps = [by_rule(k, (2, 304, 16, 16)).bfloat16() for k in (380, 381)]
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = PixelContrastiveLoss(max_views=views)(*maps, own, shuffled)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize('wrong', [dict(temperature=0), dict(max_views=0)])
def test_arguments(wrong):
    with pytest.raises(ValueError, match='must be positive'):
        PixelContrastiveLoss(**wrong)
