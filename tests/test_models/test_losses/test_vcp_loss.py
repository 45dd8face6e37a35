import pytest
import torch

import mmcpm.models.losses.vcp_loss as module
from mmcpm.models.losses import FixedAssignmentMaskLoss

LAYERS, BATCH, PROMPTS = 3, 2, 3


@pytest.fixture
def inputs():
    """Terms of each kind, and what counts; the last prompt is padding."""
    generator = torch.Generator().manual_seed(0)
    terms = [
        torch.rand(LAYERS, BATCH, PROMPTS, generator=generator)
        for _ in range(3)
    ]
    valid = torch.tensor([[True, True, False], [True, True, False]])
    return (*terms, valid)


def test_by_hand():
    """Two predictions, one frame, of two prompts one or both count."""
    terms = torch.tensor([[[1.0, 10.0]], [[2.0, 20.0]]])
    both = torch.tensor([[True, True]])
    first = torch.tensor([[True, False]])
    loss = FixedAssignmentMaskLoss()
    assert loss(terms, 2 * terms, 3 * terms, both) == {
        'cls': 33 / 2,
        'mask': 33,
        'dice': 99 / 2,
    }
    assert loss(terms, 2 * terms, 3 * terms, first) == {
        'cls': 3,
        'mask': 6,
        'dice': 9,
    }


def test_class_terms_are_a_weighted_mean():
    """Of cross-entropies 1 and 10, weighing 2 and 6: 62 / 8."""
    terms = torch.tensor([[[2.0, 60.0, 9.0]]])
    valid = torch.tensor([[True, True, False]])
    weight = torch.tensor([[2.0, 6.0, 5.0]])
    losses = FixedAssignmentMaskLoss()(terms, terms, terms, valid, weight)
    assert losses == {'cls': 62 / 8, 'mask': 31, 'dice': 31}
    nothing = FixedAssignmentMaskLoss()(*(0 * terms,) * 3, valid, 0 * weight)
    assert nothing == {'cls': 0, 'mask': 0, 'dice': 0}


def test_sums_over_predictions_of_means_over_prompts(inputs):
    losses = FixedAssignmentMaskLoss()(*inputs)
    assert list(losses) == ['cls', 'mask', 'dice']
    for terms, value in zip(inputs, losses.values(), strict=False):
        expected = sum(
            float(terms[layer, b, k]) / 4
            for layer in range(LAYERS)
            for b, k in inputs[-1].nonzero().tolist()
        )
        assert float(value) == pytest.approx(expected)


def test_weight_is_a_factor_of_all_three(inputs):
    plain = FixedAssignmentMaskLoss()(*inputs)
    weighted = FixedAssignmentMaskLoss(loss_weight=3.0)(*inputs)
    nothing = FixedAssignmentMaskLoss(loss_weight=0.0)(*inputs)
    for name, value in plain.items():
        torch.testing.assert_close(weighted[name], 3 * value)
        assert nothing[name] == 0


def test_ranks_share_the_number_of_prompts(inputs, monkeypatch):
    """Four prompts here; eight on average over ranks halve the losses."""
    before = FixedAssignmentMaskLoss()(*inputs)
    asked = []
    monkeypatch.setattr(
        module, 'reduce_mean', lambda x: asked.append(x.tolist()) or x * 2
    )
    after = FixedAssignmentMaskLoss()(*inputs)
    assert asked == [[4.0, 4.0]]  # Prompts, and their weights.
    for name, value in before.items():
        torch.testing.assert_close(after[name], value / 2)


def test_ranks_without_prompts_take_part(inputs, monkeypatch):
    """A rank that stays away would let the others wait for ever."""
    asked = []
    monkeypatch.setattr(
        module, 'reduce_mean', lambda x: asked.append(x.tolist()) or x
    )
    *terms, valid = inputs
    FixedAssignmentMaskLoss()(*terms, valid & False)
    assert asked == [[0.0, 0.0]]


@pytest.mark.parametrize('value', [50.0, float('nan'), float('inf')])
def test_what_does_not_count_may_be_anything(inputs, value):
    *terms, valid = inputs
    before = FixedAssignmentMaskLoss()(*inputs)
    for tensor in terms:
        tensor[:, :, 2] = value
        tensor.requires_grad_()
    after = FixedAssignmentMaskLoss()(*terms, valid)
    assert before == after
    sum(after.values()).backward()
    for tensor in terms:
        assert (tensor.grad[:, :, 2] == 0).all()
        assert (tensor.grad[:, :, :2] == 0.25).all()


def test_order_of_the_prompts_does_not_matter(inputs):
    """As long as what counts is moved with its terms."""
    *terms, valid = inputs
    valid[0, 1] = False
    loss = FixedAssignmentMaskLoss()
    before = loss(*terms, valid)
    order = torch.tensor([1, 2, 0])
    moved = loss(*(t[:, :, order] for t in terms), valid[:, order])
    crossed = loss(*(t[:, :, order] for t in terms), valid)
    for name, value in before.items():
        torch.testing.assert_close(moved[name], value)
        assert abs(crossed[name] - value) > 1e-3


def test_nothing_valid_is_zero_with_a_gradient_of_zero(inputs):
    *terms, valid = inputs
    for tensor in terms:
        tensor.requires_grad_()
    losses = FixedAssignmentMaskLoss()(*terms, valid & False)
    assert all(value == 0 for value in losses.values())
    sum(losses.values()).backward()
    assert all((tensor.grad == 0).all() for tensor in terms)
