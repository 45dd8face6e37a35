import pytest
import torch
from mmdet.models.task_modules.assigners import HungarianAssigner
from mmengine.structures import InstanceData
from mmseg.registry import TASK_UTILS

import mmcpm  # noqa: F401
from mmcpm.models.assigners.finite_hungarian_assigner import (
    LARGEST_COST,
    finite_cost,
)

COSTS = [
    {'type': 'mmdet.ClassificationCost', 'weight': 2.0},
    {'type': 'mmdet.CrossEntropyLossCost', 'weight': 5.0},
    {'type': 'mmdet.DiceCost', 'weight': 5.0, 'pred_act': True, 'eps': 1.0},
]
NUM_QUERIES, NUM_CLASSES, NUM_POINTS = 6, 4, 50

pytestmark = pytest.mark.usefixtures('mmseg_scope')


def build(kind='FiniteHungarianAssigner'):
    return TASK_UTILS.build({'type': kind, 'match_costs': COSTS})


@pytest.fixture
def instances(torch_generator):
    def draw(*shape):
        return torch.randn(*shape, generator=torch_generator)

    predictions = InstanceData(
        scores=draw(NUM_QUERIES, NUM_CLASSES + 1),
        masks=3 * draw(NUM_QUERIES, NUM_POINTS),
    )
    targets = InstanceData(
        labels=torch.tensor([0, 3, 1]),
        masks=(draw(3, NUM_POINTS) > 0).float(),
    )
    return predictions, targets


def assign(assigner, predictions, targets):
    return assigner.assign(
        pred_instances=predictions, gt_instances=targets, img_meta={}
    ).gt_inds


def test_finite_predictions_are_matched_as_by_mmdet(instances):
    plain = build('mmdet.HungarianAssigner')
    assert type(plain) is HungarianAssigner
    expected = assign(plain, *instances)
    assert torch.equal(assign(build(), *instances), expected)
    assert sorted(expected.tolist()) == [0, 0, 0, 1, 2, 3]


@pytest.mark.parametrize('field', ['scores', 'masks'])
@pytest.mark.parametrize('value', [float('nan'), float('inf')])
@pytest.mark.parametrize('query', [slice(None), 2])
def test_other_predictions_are_matched_somehow(instances, field, value, query):
    predictions, targets = instances
    predictions[field][query] = value
    found = assign(build(), predictions, targets).tolist()
    assert sorted(found) == [0, 0, 0, 1, 2, 3]


def test_a_bad_prediction_is_the_last_choice(instances):
    predictions, targets = instances
    best = assign(build(), predictions, targets)
    query = int((best == 2).nonzero())
    predictions.scores[query] = float('nan')
    assert assign(build(), predictions, targets)[query] == 0


def test_sums_over_points_do_not_overflow_in_half_precision():
    """Logits of 20 on the wrong side of 12,544 points: 250,880 > 65,504."""
    predictions = InstanceData(
        scores=torch.zeros(2, 3, dtype=torch.bfloat16),
        masks=torch.full((2, 12544), 20.0, dtype=torch.bfloat16),
    )
    predictions.masks[1] = -20
    targets = InstanceData(
        labels=torch.tensor([0]), masks=torch.zeros(1, 12544)
    )
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = assign(build(), predictions, targets)
    assert found.tolist() == [0, 1]


def test_finite_cost():
    cost = torch.tensor([[1.5, float('nan')], [float('inf'), -float('inf')]])
    assert finite_cost(cost).tolist() == [
        [1.5, LARGEST_COST],
        [LARGEST_COST, -LARGEST_COST],
    ]
