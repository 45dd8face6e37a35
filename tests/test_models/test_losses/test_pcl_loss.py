import math
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mmseg.registry import MODELS
from torch._subclasses.fake_tensor import FakeTensorMode

from mmcpm.models.losses import PromptContrastiveLoss
from mmcpm.models.losses.pcl_loss import (
    masked_pooling,
    prompt_contrastive_loss,
    sample_pixels,
)

TAU = 0.1


def unit(*size, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(
        torch.randn(*size, generator=generator, dtype=dtype), dim=-1
    )


def naive_loss(anchors, anchor_classes, pixels, pixel_classes):
    """Equations (8) and (9), term by term."""
    terms = []
    for f, k in zip(anchors, anchor_classes.tolist(), strict=True):
        if k < 0:
            continue
        similarity = [math.exp((f @ p).item() / TAU) for p in pixels]
        pairs = list(zip(similarity, pixel_classes.tolist(), strict=True))
        positives = [s for s, y in pairs if y == k]
        negatives = sum(s for s, y in pairs if y >= 0 and y != k)
        if positives:
            terms.append(
                sum(-math.log(p / (p + negatives)) for p in positives)
                / len(positives)
            )
    return sum(terms) / max(len(terms), 1)


@pytest.mark.parametrize(
    'anchor_classes',
    [
        [1, 2, 2, 3],  # class 3 has no pixel
        [-1, 1, -1, 2],
        [3, 3, -1, -1],
        [-1, -1, -1, -1],
    ],
)
@pytest.mark.parametrize(
    'pixel_classes',
    [[0, 0, 1, 1, 1, 2, -1, -1, 2], [-1] * 9, [1] * 9, [0] * 9],
)
def test_loss_is_that_of_a_loop(anchor_classes, pixel_classes):
    anchors, pixels = unit(4, 8), unit(9, 8, seed=1)
    anchors.requires_grad_()
    pixels.requires_grad_()
    classes = torch.tensor(anchor_classes), torch.tensor(pixel_classes)
    loss = prompt_contrastive_loss(
        anchors, classes[0], pixels, classes[1], TAU
    )
    expected = naive_loss(anchors, classes[0], pixels, classes[1])
    assert float(loss) == pytest.approx(expected, abs=1e-9)
    loss.backward()
    for tensor in (anchors, pixels):
        assert tensor.grad is not None and tensor.grad.isfinite().all()
    if expected == 0:
        assert (anchors.grad == 0).all() and (pixels.grad == 0).all()


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_loss_is_that_of_a_loop_for_any_labels(seed):
    generator = torch.Generator().manual_seed(seed)
    anchors, pixels = unit(3, 4, seed=seed), unit(12, 4, seed=seed + 1)
    classes = torch.randint(-1, 4, (15,), generator=generator)
    loss = prompt_contrastive_loss(
        anchors, classes[:3], pixels, classes[3:], TAU
    )
    assert float(loss) == pytest.approx(
        naive_loss(anchors, classes[:3], pixels, classes[3:]), abs=1e-9
    )


def test_opposite_vectors_do_not_overflow():
    anchors = unit(1, 8, dtype=torch.float32).requires_grad_()
    pixels = torch.cat([-anchors.detach(), anchors.detach()])
    loss = prompt_contrastive_loss(
        anchors, torch.tensor([1]), pixels, torch.tensor([1, 0]), 1e-3
    )
    # softplus(1000 - -1000)
    assert float(loss) == pytest.approx(2000, rel=1e-3)
    loss.backward()
    assert anchors.grad.isfinite().all()


def naive_pooling(features, logits, pooling):
    saliency = logits.sigmoid()
    pooled, found = [], []
    for b in range(len(features)):
        for k in range(logits.shape[1]):
            cells = [
                features[b, :, t, f]
                for t in range(logits.shape[2])
                for f in range(logits.shape[3])
                if saliency[b, k, t, f] > saliency[b, k].mean()
            ]
            found.append(bool(cells))
            cells = cells or [torch.zeros_like(features[0, :, 0, 0])]
            stack = torch.stack(cells)
            pooled.append(stack.mean(0) if pooling == 'avg' else stack.amax(0))
    shape = (*logits.shape[:2], features.shape[1])
    return torch.stack(pooled).view(shape), found


@pytest.mark.parametrize('pooling', ['avg', 'max'])
def test_pooling_is_that_of_a_loop(pooling):
    torch.manual_seed(0)
    features = torch.randn(2, 5, 4, 6, dtype=torch.float64)
    logits = torch.randn(2, 3, 4, 6, dtype=torch.float64)
    logits[0, 1] = 2.0  # selects nothing
    features.requires_grad_()
    pooled, found = masked_pooling(features, logits, pooling)
    expected, expected_found = naive_pooling(features, logits, pooling)
    torch.testing.assert_close(pooled, expected)
    assert found.flatten().tolist() == expected_found
    assert expected_found.count(False) == 1
    grad, expected_grad = (
        torch.autograd.grad(p.square().sum(), features, retain_graph=True)[0]
        for p in (pooled, expected)
    )
    torch.testing.assert_close(grad, expected_grad)


@given(st.floats(-30, 30), st.sampled_from([(3, 5), (24, 64), (7, 11)]))
@settings(max_examples=100, deadline=None)
@example(0.3, (7, 11))
@example(-1.7, (24, 64))
def test_constant_saliency_selects_nothing(value, size):
    """However the mean of equal numbers is rounded."""
    features = torch.randn(1, 2, *size)
    for pooling in ('avg', 'max'):
        pooled, found = masked_pooling(
            features, torch.full((1, 1, *size), value), pooling
        )
        assert not found.any() and (pooled == 0).all()


def test_sums_of_large_features_stay_finite_in_half_precision():
    features = torch.full((1, 2, 24, 64), 100.0).half()
    logits = torch.full((1, 1, 24, 64), 3.0)
    logits[0, 0, 0, 0] = -9.0
    pooled, found = masked_pooling(features, logits)
    assert found.all()
    torch.testing.assert_close(
        pooled.float(), torch.full((1, 1, 2), 100.0), rtol=1e-2, atol=0
    )


def test_thresholds_have_no_gradient():
    features = torch.randn(1, 2, 3, 4, requires_grad=True)
    logits = torch.randn(1, 1, 3, 4, requires_grad=True)
    pooled, _ = masked_pooling(features, logits)
    pooled.sum().backward()
    assert logits.grad is None and features.grad.abs().sum() > 0


@given(
    st.lists(st.sampled_from([0, 0, 0, 1, 3, 4, 200, 255]), min_size=1),
    st.integers(1, 6),
)
@settings(max_examples=50, deadline=None)
def test_sampled_pixels_are_of_their_class(labels, per_class):
    """Up to so many of each of classes 0..3, none twice, none ignored."""
    index, classes = sample_pixels(torch.tensor(labels), 4, per_class)
    assert index.shape == classes.shape == (4 * per_class,)
    index, classes = index[classes >= 0], classes[classes >= 0]
    assert [labels[i] for i in index.tolist()] == classes.tolist()
    assert len(set(index.tolist())) == len(index)
    drawn, there = Counter(classes.tolist()), Counter(labels)
    for k in range(4):
        assert drawn[k] == min(there[k], per_class)


def test_pixels_of_a_class_are_equally_likely():
    torch.manual_seed(0)
    labels = torch.tensor([0] * 20 + [1] * 5)
    drawn = torch.zeros(25)
    for _ in range(2000):
        index, classes = sample_pixels(labels, 2, 5)
        drawn[index[classes >= 0]] += 1
    assert (drawn[20:] == 2000).all()  # a small class is kept whole
    # 5 of 20: 500 expected, with a standard deviation of 19.
    assert (drawn[:20] - 500).abs().max() < 85


def inputs(seed=0, classes=((1, 2), (3, -1))):
    """Maps, mask logits, prompts, and label maps of two frames."""
    generator = torch.Generator().manual_seed(seed)
    audio = torch.randn(2, 8, 6, 10, generator=generator)
    masks = torch.randn(2, 2, 6, 10, generator=generator)
    image = torch.randn(2, 8, 4, 5, generator=generator)
    labels = torch.randint(0, 4, (2, 16, 20), generator=generator)
    labels[:, :4] = 255
    return audio, masks, torch.tensor(classes), image, labels


@pytest.mark.parametrize('pooling', ['avg', 'max'])
def test_module_by_loops(pooling):
    """With more samples than pixels the draw is complete."""
    torch.manual_seed(0)
    loss = PromptContrastiveLoss(
        embed_dims=8,
        pooling=pooling,
        samples_per_class=40,
        temperature=TAU,
        loss_weight=2.0,
    )
    audio, masks, classes, image, labels = inputs()
    anchors, _ = naive_pooling(audio, masks, pooling)
    # Nearest neighbor from 16 x 20 to 4 x 5: the corner of each cell.
    small = labels[:, ::4, ::4]
    pixels = image.permute(0, 2, 3, 1).reshape(-1, 8)
    keep = small.flatten() < 4
    anchors = loss.audio_projection(anchors)
    pixels = loss.image_projection(pixels)
    expected = naive_loss(
        F.normalize(anchors, dim=-1).flatten(0, 1).detach(),
        classes.flatten(),
        F.normalize(pixels, dim=-1)[keep].detach(),
        small.flatten()[keep],
    )
    value = loss(audio, masks, classes, image, labels, present=range(4))
    assert float(value) == pytest.approx(2 * expected, rel=1e-4)
    assert expected > 0.1


@pytest.mark.parametrize(
    'case', ['normal', 'no prompt', 'nothing labeled', 'flat masks']
)
def test_gradients_reach_both_maps(case):
    loss = PromptContrastiveLoss(embed_dims=8)
    audio, masks, classes, image, labels = inputs()
    audio.requires_grad_()
    image.requires_grad_()
    if case == 'no prompt':
        classes = torch.full_like(classes, -1)
    if case == 'nothing labeled':
        labels = torch.full_like(labels, 255)
    if case == 'flat masks':
        masks = torch.full_like(masks, 0.3)
    value = loss(audio, masks, classes, image, labels, present=range(4))
    value.backward()
    gradients = [audio.grad, image.grad, *(p.grad for p in loss.parameters())]
    assert value.isfinite()
    for gradient in gradients:
        assert gradient is not None and gradient.isfinite().all()
        assert (gradient.abs().sum() > 0) == (case == 'normal')
    assert (value > 0) == (case == 'normal')


@pytest.mark.parametrize('pooling', ['avg', 'max'])
def test_contrast_never_waits_for_the_device(pooling):
    """A fake GPU raises where a value would have to be known."""
    with FakeTensorMode(), torch.device('cuda'):
        loss = PromptContrastiveLoss(embed_dims=8, pooling=pooling)
        value = loss(
            torch.randn(2, 8, 6, 10),
            torch.randn(2, 2, 6, 10),
            torch.randint(-1, 4, (2, 2)),
            torch.randn(2, 8, 4, 5),
            torch.randint(0, 4, (2, 16, 20)),
            present=range(4),
        )
    assert value.shape == ()


def test_projection_is_a_matter_of_the_sampled_pixels_only():
    """The cost does not depend on the size of the map."""
    loss = PromptContrastiveLoss(embed_dims=8, samples_per_class=3)
    sizes = []
    loss.image_projection.register_forward_hook(
        lambda module, args, output: sizes.append(args[0].shape)
    )
    loss(*inputs(), present=range(4))
    loss(*inputs(), present=[1, 3])
    loss(*inputs(), present=[])
    assert sizes == [(12, 8), (6, 8), (0, 8)]


def test_classes_that_do_not_occur_change_nothing():
    """As many as there may be: they cost, and that is all."""
    loss = PromptContrastiveLoss(embed_dims=8, samples_per_class=100)
    audio, masks, classes, image, labels = inputs()
    labels[labels == 2] = 70  # 0, 1, 3, 70 and 255 are left.
    classes = torch.tensor([[70, 1], [3, 0]])
    value = loss(audio, masks, classes, image, labels, present=[0, 1, 3, 70])
    whole = loss(audio, masks, classes, image, labels, present=range(71))
    torch.testing.assert_close(value, whole)
    fewer = loss(audio, masks, classes, image, labels, present=[0, 1, 3])
    assert abs(float(fewer) - float(whole)) > 1e-3


def test_nothing_present_is_zero_with_gradients():
    loss = PromptContrastiveLoss(embed_dims=8)
    audio, masks, classes, image, labels = inputs()
    image.requires_grad_()
    value = loss(audio, masks, classes, image, labels, present=[])
    value.backward()
    assert value == 0
    gradients = [image.grad, *(p.grad for p in loss.parameters())]
    assert all((g == 0).all() for g in gradients)


@pytest.mark.parametrize(
    'change', [dict(pooling='sum'), dict(temperature=0.0)]
)
def test_bad_arguments(change):
    (name,) = change
    with pytest.raises(ValueError, match=f'{name} must'):
        MODELS.build(
            dict(type='PromptContrastiveLoss', embed_dims=8, **change)
        )
