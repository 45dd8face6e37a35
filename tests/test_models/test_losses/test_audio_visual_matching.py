"""Values are those of AVSBench's program on inputs by rule."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmcpm.models.losses.audio_visual_matching import (
    AudioVisualMatchingLoss,
    masked_mean,
    nearest_sound,
)

SIZES = (16, 8, 4, 2)


def numbers(seed, *shape):
    values = np.random.RandomState(seed).standard_normal(shape)
    return torch.from_numpy(values.astype(np.float32))


@pytest.fixture(scope='module')
def binary():
    """Ten frames: logits, visual maps and sounds."""
    maps = [
        numbers(310 + k, 10, 256, size, size).relu()
        for k, size in enumerate(SIZES)
    ]
    sounds = [numbers(320 + k, 10, 256) for k in range(4)]
    return numbers(301, 10, 1, 64, 64), maps, sounds


@pytest.fixture(scope='module')
def semantic():
    """The labeled frames of two clips of ten."""
    labeled = [0, *range(10, 20)]
    logits = numbers(340, 20, 71, 32, 32)
    logits[:, 0] += 1.5
    maps = [
        numbers(350 + k, 20, 256, size, size).relu()[labeled]
        for k, size in enumerate(SIZES)
    ]
    sounds = [numbers(360 + k, 20, 256)[labeled] for k in range(4)]
    return logits[labeled], maps, sounds


COSINE = dict(
    mask='probability', measure='cosine', threshold=True, normalize=True
)
SOFT = dict(mask='soft', reduction='sum')
EUCLIDEAN = dict(measure='euclidean', normalize=True)


@pytest.mark.parametrize(
    ('settings', 'expected'),
    [
        (SOFT, 4.906307220458984),
        (dict(SOFT, normalize=True), 0.02192872017621994),
        (dict(SOFT, threshold=True), 5.108729362487793),
        (dict(SOFT, pooling='max'), 5.0091962814331055),
        (dict(EUCLIDEAN, mask='soft'), 1.4152982234954834),
        (
            dict(EUCLIDEAN, mask='soft', partner='nearest'),
            0.4261411428451538,
        ),
        (COSINE, 8.195426940917969),
        (dict(COSINE, pooling='max'), 8.984859466552734),
    ],
)
def test_values_with_one_logit(binary, settings, expected):
    loss = AudioVisualMatchingLoss(loss_weight=1.0, **settings)
    assert loss(*binary).item() == pytest.approx(expected, rel=1e-5)


def test_the_nearest_by_divergence(binary):
    # The program's float32 is itself 1.8e-5 away from float64.
    loss = AudioVisualMatchingLoss(
        loss_weight=1.0, partner='nearest', normalize=True, **SOFT
    )
    assert loss(*binary).item() == pytest.approx(
        0.005067624617367983, rel=5e-5
    )


@pytest.mark.parametrize(
    ('settings', 'expected'),
    [
        ({}, 0.5044181942939758),
        (dict(normalize=True), 0.0021957801654934883),
        (dict(threshold=True), 0.5104764103889465),
        (EUCLIDEAN, 1.4083974361419678),
    ],
)
def test_values_with_classes(semantic, settings, expected):
    loss = AudioVisualMatchingLoss(loss_weight=1.0, **settings)
    assert loss(*semantic).item() == pytest.approx(expected, rel=1e-5)


def test_weight_and_gradients():
    logits = torch.randn(2, 1, 8, 8, requires_grad=True)
    maps = [torch.rand(2, 5, 4, 4, requires_grad=True)]
    sounds = [torch.rand(2, 5, requires_grad=True)]
    half = AudioVisualMatchingLoss(mask='soft')(logits, maps, sounds)
    whole = AudioVisualMatchingLoss(mask='soft', loss_weight=1.0)
    assert torch.isclose(2 * half, whole(logits, maps, sounds))
    half.backward()
    assert logits.grad.any() and maps[0].grad.any() and sounds[0].grad.any()


def test_no_frames_no_loss():
    loss = AudioVisualMatchingLoss()
    empty = [torch.rand(0, 5, 4, 4, requires_grad=True)]
    value = loss(torch.rand(0, 3, 8, 8), empty, [torch.rand(0, 5)])
    value.backward()
    assert value == 0
    # One frame has no other.
    loss = AudioVisualMatchingLoss(partner='nearest')
    one = [torch.rand(1, 5, 4, 4)]
    assert loss(torch.rand(1, 3, 8, 8), one, [torch.rand(1, 5)]) == 0


def test_masked_mean_by_hand():
    feature = torch.tensor([1.0, 2.0, 3.0, 6.0]).view(1, 1, 2, 2)
    mask = torch.tensor([0.0, 1.0, 0.0, 1.0]).view(1, 1, 2, 2)
    assert masked_mean(feature, mask).item() == 2
    assert masked_mean(feature, mask, True).item() == pytest.approx(4)


def test_nearest_sound_is_another():
    sounds = torch.tensor([[0.0], [5.0], [1.0], [5.5]])
    assert nearest_sound(sounds).tolist() == [2, 3, 0, 1]


def test_large_features_stay_finite():
    maps = [torch.zeros(1, 3, 2, 2)]
    maps[0][0, 0] = 1000
    value = AudioVisualMatchingLoss(mask='soft')(
        torch.full((1, 1, 2, 2), 9.0), maps, [torch.zeros(1, 3)]
    )
    assert F.relu(value).isfinite() and value > 10


def test_settings_are_checked():
    with pytest.raises(ValueError, match="mask.*'gt'"):
        AudioVisualMatchingLoss(mask='gt')
