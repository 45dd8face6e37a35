import pytest
import torch
import torch.nn.functional as F
from mmcv.ops import point_sample
from mmdet.models.losses import CrossEntropyLoss, DiceLoss

import mmcpm.models.losses.fixed_assignment_mask_loss as module
from mmcpm.models.losses import FixedAssignmentMaskLoss

LAYERS, BATCH, PROMPTS, CLASSES, POINTS = 3, 2, 3, 5, 7


@pytest.fixture
def inputs():
    """Scores, mask logits, labels, masks; the last prompt is padding."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(
        LAYERS, BATCH, PROMPTS, CLASSES + 1, generator=generator
    )
    logits = torch.randn(LAYERS, BATCH, PROMPTS, 6, 8, generator=generator)
    labels = torch.tensor([[1, 4, 2], [3, 1, -1]])
    masks = torch.rand(BATCH, PROMPTS, 24, 32, generator=generator) > 0.6
    valid = torch.tensor([[True, True, False], [True, True, False]])
    return list(scores), list(logits), labels, masks, valid


@pytest.fixture
def points(monkeypatch):
    """Inject points, those of mmdet's rows in the order of the module."""
    generator = torch.Generator().manual_seed(1)
    drawn = torch.rand(
        LAYERS * BATCH * PROMPTS, POINTS, 2, generator=generator
    )

    def fixed(mask_preds, labels, num_points, oversample, importance):
        assert mask_preds.shape[:2] == (len(drawn), 1)
        assert (num_points, oversample, importance) == (POINTS, 2.0, 0.5)
        return drawn

    monkeypatch.setattr(
        module, 'get_uncertain_point_coords_with_randomness', fixed
    )
    return drawn.view(LAYERS, BATCH, PROMPTS, POINTS, 2)


def build(**kwargs):
    return FixedAssignmentMaskLoss(
        num_points=POINTS,
        oversample_ratio=2.0,
        importance_ratio=0.5,
        **kwargs,
    )


def naive_losses(scores, logits, labels, masks, valid, points):
    """mmdet's own losses, prompt by prompt and prediction by prediction."""
    cls = CrossEntropyLoss(use_sigmoid=False, loss_weight=2.0)
    bce = CrossEntropyLoss(use_sigmoid=True, loss_weight=5.0)
    dice = DiceLoss(naive_dice=True, eps=1.0, loss_weight=5.0)
    totals = dict(cls=0.0, mask=0.0, dice=0.0)
    for layer in range(LAYERS):
        for b, k in valid.nonzero().tolist():
            where = points[layer, b, k][None]
            at = point_sample(logits[layer][b, k][None, None], where)[0]
            target = point_sample(masks[b, k][None, None].float(), where)[0]
            totals['cls'] += cls(scores[layer][b, k][None], labels[b, k][None])
            totals['mask'] += bce(at.view(-1), target.view(-1))
            totals['dice'] += dice(at, target)
            plain = F.binary_cross_entropy(at.sigmoid(), target)
            torch.testing.assert_close(
                5 * plain, bce(at.view(-1), target.view(-1))
            )
    count = max(int(valid.sum()), 1)
    return {name: value / count for name, value in totals.items()}


def test_losses_are_those_of_mmdet(inputs, points):
    actual = build()(*inputs)
    expected = naive_losses(*inputs, points)
    assert set(actual) == {'cls', 'mask', 'dice'}
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value)


def test_weights_are_factors(inputs, points):
    unweighted = build(class_weight=1, mask_weight=1, dice_weight=1)(*inputs)
    weighted = build(class_weight=3, mask_weight=0, dice_weight=0.5)(*inputs)
    for name, factor in (('cls', 3), ('mask', 0), ('dice', 0.5)):
        torch.testing.assert_close(weighted[name], factor * unweighted[name])


def test_ranks_share_the_number_of_prompts(inputs, points, monkeypatch):
    """Four prompts here; eight on average over ranks halve the losses."""
    before = build()(*inputs)
    asked = []
    monkeypatch.setattr(
        module, 'reduce_mean', lambda x: asked.append(float(x)) or x * 2
    )
    after = build()(*inputs)
    assert asked == [4.0]
    for name, value in before.items():
        torch.testing.assert_close(after[name], value / 2)


def test_padding_counts_nothing(inputs, points):
    scores, logits, labels, masks, valid = inputs
    before = build()(*inputs)
    for tensors in (scores, logits):
        for tensor in tensors:
            tensor[:, 2] += 50
            tensor.requires_grad_()
    masks[:, 2] = ~masks[:, 2]
    labels[:, 2] = torch.tensor([0, 4])
    after = build()(scores, logits, labels, masks, valid)
    for name, value in before.items():
        torch.testing.assert_close(after[name], value)
    sum(after.values()).backward()
    for tensor in (*scores, *logits):
        assert (tensor.grad[:, 2] == 0).all()
        assert tensor.grad[:, :2].abs().flatten(2).sum(-1).min() > 0


def test_assignment_follows_the_prompts(inputs, points):
    """Permuting prompts with labels changes nothing; alone it does."""
    scores, logits, labels, masks, valid = inputs
    loss = build()
    before = loss(*inputs)
    order = torch.tensor([1, 0, 2])
    points[:] = points[:, :, order]
    moved = loss(
        [s[:, order] for s in scores],
        [m[:, order] for m in logits],
        labels[:, order],
        masks[:, order],
        valid[:, order],
    )
    for name, value in before.items():
        torch.testing.assert_close(moved[name], value)
    crossed = loss(
        [s[:, order] for s in scores],
        [m[:, order] for m in logits],
        labels,
        masks,
        valid,
    )
    assert all(abs(crossed[n] - before[n]) > 1e-3 for n in before)


def test_nothing_valid_is_zero_with_a_gradient_of_zero(inputs):
    scores, logits, labels, masks, valid = inputs
    tensors = [*scores, *logits]
    for tensor in tensors:
        tensor.requires_grad_()
    losses = build()(
        scores, logits, torch.full_like(labels, -1), masks, valid & False
    )
    assert all(value == 0 for value in losses.values())
    sum(losses.values()).backward()
    assert all((tensor.grad == 0).all() for tensor in tensors)


def test_perfect_prompts_cost_little(inputs):
    scores, logits, labels, masks, valid = inputs
    masks = torch.zeros(BATCH, PROMPTS, 6, 8).bool()
    masks[..., :4] = True
    logits = [torch.where(masks, 40.0, -40.0)] * LAYERS
    target = F.one_hot(labels.clamp(min=0), CLASSES + 1)
    torch.manual_seed(0)
    losses = build(mask_weight=1.0)(
        [40.0 * target] * LAYERS, logits, labels, masks, valid
    )
    assert losses['cls'] < 1e-6
    # On the edge the target is no longer 0 or 1.
    worse = build(mask_weight=1.0)(
        [40.0 * target] * LAYERS,
        [-m for m in logits],
        labels,
        masks,
        valid,
    )
    assert losses['mask'] < 0.3 * worse['mask']
    assert losses['dice'] < 0.3 * worse['dice']


def test_half_precision_is_left_behind(inputs, points):
    scores, logits, labels, masks, valid = inputs
    scores = [s.bfloat16() for s in scores]
    logits = [m.bfloat16() for m in logits]
    with torch.autocast('cpu', torch.bfloat16):
        cast = build()(scores, logits, labels, masks, valid)
    plain = build()(
        [s.float() for s in scores],
        [m.float() for m in logits],
        labels,
        masks,
        valid,
    )
    for name, value in plain.items():
        assert cast[name].dtype == torch.float32
        torch.testing.assert_close(cast[name], value)
