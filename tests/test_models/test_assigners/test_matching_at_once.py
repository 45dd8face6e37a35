"""FiniteHungarianAssigner.match against mmdet, one problem at a time."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.models.task_modules.assigners import CrossEntropyLossCost
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from mmseg.registry import TASK_UTILS

import mmcpm  # noqa: F401
from mmcpm.models.assigners.finite_hungarian_assigner import mask_cross_entropy

COSTS = [
    {'type': 'mmdet.ClassificationCost', 'weight': 2.0},
    {'type': 'mmdet.CrossEntropyLossCost', 'weight': 5.0},
    {'type': 'mmdet.DiceCost', 'weight': 5.0, 'pred_act': True, 'eps': 1.0},
]
CLASSES, POINTS = 6, 40


def build(kind='FiniteHungarianAssigner', costs=COSTS):
    with DefaultScope.overwrite_default_scope('mmseg'):
        return TASK_UTILS.build({'type': kind, 'match_costs': costs})


def draw(layers, queries, targets, seed):
    """Predictions of a batch, and targets with soft masks, as at points."""
    generator = torch.Generator().manual_seed(seed)
    batch = len(targets)
    scores = torch.randn(
        layers, batch, queries, CLASSES + 1, generator=generator
    )
    logits = 3 * torch.randn(
        batch, layers, queries, POINTS, generator=generator
    )
    instances = []
    for count in targets:
        order = torch.randperm(CLASSES, generator=generator)
        masks = torch.rand(count, POINTS, generator=generator)
        masks = (2 * masks - 0.5).clamp(0, 1)
        instances.append(
            InstanceData(labels=order[:count].sort().values, masks=masks)
        )
    return scores, list(logits), instances


def one_by_one(scores, logits, instances, kind='mmdet.HungarianAssigner'):
    """Target of every query, from 1, 0 for none: ``[L, B, N]``."""
    assigner = build(kind)
    return torch.stack(
        [
            torch.stack(
                [
                    assigner.assign(
                        pred_instances=InstanceData(
                            scores=scores[layer, image],
                            masks=logits[image][layer],
                        ),
                        gt_instances=target,
                        img_meta={},
                    ).gt_inds
                    for image, target in enumerate(instances)
                ]
            )
            for layer in range(len(scores))
        ]
    )


def as_indices(matches, queries):
    found = torch.zeros(len(matches), len(matches[0]), queries).long()
    for layer, images in enumerate(matches):
        for image, (rows, columns) in enumerate(images):
            assert len(rows) == len(columns)
            found[layer, image, rows] = torch.from_numpy(columns) + 1
    return found


@given(
    st.integers(1, 3),
    st.integers(1, 5),
    st.lists(st.integers(0, CLASSES), min_size=1, max_size=3),
    st.integers(0, 10**6),
)
@settings(max_examples=60, deadline=None)
def test_matches_are_those_of_mmdet(layers, queries, targets, seed):
    """With no target, some, and more targets than queries."""
    drawn = draw(layers, queries, targets, seed)
    matches = build().match(*drawn)
    assert [len(images) for images in matches] == [len(targets)] * layers
    for images in matches:
        sizes = [len(rows) for rows, _ in images]
        assert sizes == [min(queries, count) for count in targets]
    assert torch.equal(as_indices(matches, queries), one_by_one(*drawn))


def test_costs_are_those_of_mmdet():
    scores, logits, instances = draw(1, 7, [4], seed=0)
    predictions = InstanceData(scores=scores[0, 0], masks=logits[0][0])
    expected = sum(
        cost(predictions, instances[0])
        for cost in build('mmdet.HungarianAssigner').match_costs
    )
    actual = build().cost(scores[0, 0], logits[0][0], instances[0])
    assert actual.shape == (7, 4) and actual.dtype == torch.float32
    torch.testing.assert_close(actual, expected)


def test_cross_entropy_of_masks():
    """mmdet's, the definition, and soft targets."""
    _, logits, instances = draw(1, 7, [5], seed=1)
    logits, targets = logits[0][0], instances[0].masks
    actual = mask_cross_entropy(logits, targets)
    cost = CrossEntropyLossCost(weight=1.0, use_sigmoid=True)
    torch.testing.assert_close(
        actual, cost._binary_cross_entropy(logits, targets)
    )
    p = logits.double().sigmoid()[:, None]
    t = targets.double()[None]
    plain = -(t * p.log() + (1 - t) * (1 - p).log()).mean(-1)
    torch.testing.assert_close(actual.double(), plain, rtol=1e-5, atol=1e-6)


def test_other_weights_of_the_cross_entropy():
    costs = [dict(COSTS[0]), dict(COSTS[1], weight=0.25), dict(COSTS[2])]
    scores, logits, instances = draw(1, 7, [4], seed=2)
    plain, changed = (
        build(costs=c).cost(scores[0, 0], logits[0][0], instances[0])
        for c in (COSTS, costs)
    )
    expected = plain - 4.75 * mask_cross_entropy(
        logits[0][0], instances[0].masks
    )
    torch.testing.assert_close(changed, expected)


@pytest.mark.parametrize('targets', [[2, 0, 3], [0, 0], [1]])
def test_one_copy_to_the_host(monkeypatch, targets):
    copies = []
    cpu = torch.Tensor.cpu
    monkeypatch.setattr(
        torch.Tensor,
        'cpu',
        lambda self: copies.append(self.numel()) or cpu(self),
    )
    build().match(*draw(4, 5, targets, seed=0))
    assert copies == [4 * 5 * sum(targets)]


def test_masks_of_one_image_at_a_time():
    """Masks may be made as they are asked for."""
    scores, logits, instances = draw(2, 5, [2, 3, 1], seed=0)
    alive = []

    def lazily():
        for image, masks in enumerate(logits):
            alive.append(image)
            yield masks

    found = build().match(scores, lazily(), instances)
    assert alive == [0, 1, 2]
    expected = build().match(scores, logits, instances)
    for images, others in zip(found, expected, strict=True):
        for pair, other in zip(images, others, strict=True):
            assert np.array_equal(pair, other)


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
@pytest.mark.parametrize('where', ['scores', 'masks'])
def test_broken_predictions_of_a_frame_leave_the_others_alone(value, where):
    scores, logits, instances = draw(2, 5, [2, 3], seed=3)
    expected = one_by_one(scores, logits, instances)
    if where == 'scores':
        scores[:, 0] = value
    else:
        logits[0][:] = value
    found = as_indices(build().match(scores, logits, instances), 5)
    assert torch.equal(found[:, 1], expected[:, 1])
    for layer in found[:, 0].tolist():
        assert sorted(layer) == [0, 0, 0, 1, 2]


def test_images_without_masks_for_their_targets_are_refused():
    scores, logits, instances = draw(1, 5, [2, 3], seed=0)
    with pytest.raises(ValueError, match='longer|shorter'):
        build().match(scores, logits[:1], instances)


def test_nothing_is_learned_from_matching():
    scores, logits, instances = draw(1, 5, [2], seed=0)
    scores.requires_grad_()
    logits[0].requires_grad_()
    build().match(scores, logits, instances)
    assert scores.grad is None


def test_half_precision_is_matched_as_if_it_were_float32():
    """Sums over 12,544 points, under autocast."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 1, 5, CLASSES + 1, generator=generator)
    logits = 20 * torch.randn(2, 5, 12544, generator=generator)
    masks = (torch.rand(3, 12544, generator=generator) > 0.5).float()
    target = InstanceData(labels=torch.tensor([0, 2, 5]), masks=masks)
    scores, logits = scores.bfloat16(), logits.bfloat16()
    with torch.autocast('cpu', torch.bfloat16):
        found = build().match(scores, [logits], [target])
    expected = one_by_one(scores.float(), [logits.float()], [target])
    assert torch.equal(as_indices(found, 5), expected)
