import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmseg.registry import MODELS

from mmcpm.models.losses import RatioMaskLoss
from mmcpm.models.losses.acp_loss import (
    ratio_mask,
    ratio_mask_loss,
    recoverable_prompts,
    unexplained_ratio,
)
from mmcpm.models.utils.query_predictions import PromptedPredictions


def test_prompts_that_can_recover_a_sound():
    """All of what sounds must be prompted, known and mixed."""
    cases = [
        # sounding, prompted, ready, mixed, expected
        ([1, 2], [1, 2], [1, 1], True, [1, 1]),
        ([1, 2], [1, 2], [1, 1], False, [0, 0]),
        ([1, 2, 3], [1, 2], [1, 1], True, [0, 0]),
        ([1, 2], [1, 2], [1, 0], True, [0, 0]),
        ([1], [1], [1, 0], True, [1, 0]),
        ([], [4], [1, 0], True, [1, 0]),
    ]
    sounding, prompted, ready, mixed, expected = zip(*cases, strict=True)
    labels = torch.tensor([(own + [-1])[:2] for own in prompted])
    found = recoverable_prompts(
        PromptedPredictions(
            list(prompted), labels, torch.tensor(ready).bool(), None, None
        ),
        sounding,
        torch.tensor(mixed),
    )
    assert torch.equal(found, torch.tensor(expected).bool())


def naive_loss(logits, target, valid, reduction):
    """Equation (5), number by number; masks have the target's size."""
    distances = []
    for b in range(len(logits)):
        if not valid[b].any():
            continue
        squares = []
        for t in range(target.shape[1]):
            for f in range(target.shape[2]):
                summed = sum(
                    float(logits[b, k, t, f])
                    for k in range(logits.shape[1])
                    if valid[b, k]
                )
                share = 1 / (1 + math.exp(-summed))
                squares.append((share - float(target[b, t, f])) ** 2)
        distances.append(
            sum(squares) / len(squares)
            if reduction == 'mse'
            else math.sqrt(sum(squares))
        )
    return sum(distances) / max(len(distances), 1)


@pytest.mark.parametrize('reduction', ['mse', 'norm'])
@pytest.mark.parametrize(
    'valid',
    [
        [[1, 1], [1, 1], [1, 1]],
        [[1, 0], [0, 0], [0, 1]],
        [[0, 0], [0, 0], [0, 0]],
    ],
)
def test_loss_is_that_of_a_loop(reduction, valid):
    torch.manual_seed(0)
    logits, target = torch.randn(3, 2, 4, 5), torch.rand(3, 4, 5)
    valid = torch.tensor(valid).bool()
    loss = RatioMaskLoss(reduction=reduction, loss_weight=3.0)
    assert float(loss(logits, target, valid)) == pytest.approx(
        3 * naive_loss(logits, target, valid, reduction), rel=1e-5, abs=1e-9
    )


def test_masks_are_summed_before_the_sigmoid_and_resized():
    """Bilinear from 2 to 4 columns: quarters of the way."""
    logits = torch.tensor([[[[1.0, 3.0]], [[1.0, 1.0]]]])  # [1, 2, 1, 2]
    summed = torch.tensor([[[2.0, 2.5, 3.5, 4.0]]])
    target = torch.zeros(1, 1, 4)
    loss = ratio_mask_loss(logits, target, torch.ones(1, 2).bool())
    torch.testing.assert_close(loss, summed.sigmoid().square().mean())


@pytest.mark.parametrize('reduction', ['mse', 'norm'])
def test_perfect_masks_cost_nothing(reduction):
    torch.manual_seed(0)
    target = torch.rand(2, 6, 8) * 0.9 + 0.05
    part = torch.randn(2, 6, 8)
    logits = torch.stack([target.logit() - part, part], 1).requires_grad_()
    loss = ratio_mask_loss(logits, target, torch.ones(2, 2).bool(), reduction)
    assert loss < 2e-6
    loss.backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize('reduction', ['mse', 'norm'])
def test_nothing_valid_is_zero_with_a_gradient_of_zero(reduction):
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    loss = ratio_mask_loss(
        logits, torch.rand(2, 8, 8), torch.zeros(2, 3).bool(), reduction
    )
    assert loss == 0
    loss.backward()
    assert (logits.grad == 0).all()


def test_padding_gets_no_gradient():
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    valid = torch.tensor([[1, 0, 1], [0, 0, 0]]).bool()
    ratio_mask_loss(logits, torch.rand(2, 8, 8), valid).backward()
    touched = logits.grad.abs().flatten(2).sum(-1) > 0
    assert torch.equal(touched, valid)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_ratio_lies_between_zero_and_one(seed):
    generator = torch.Generator().manual_seed(seed)
    scale = 10 ** torch.randint(-9, 5, (2, 2, 1, 1), generator=generator)
    clean, other = (
        torch.rand(2, 2, 5, 6, generator=generator) * scale.float()
        for _ in range(2)
    )
    ratio = ratio_mask(clean, clean + other)
    assert ratio.shape == (2, 5, 6)
    assert (ratio >= 0).all() and (ratio <= 1).all()


def test_ratio_by_hand():
    """Channels are averaged first: (3 + 1) / (3 + 3 + 1 + 1)."""
    clean = torch.tensor([3.0, 1.0]).view(1, 2, 1, 1)
    other = torch.tensor([3.0, 1.0]).view(1, 2, 1, 1)
    assert ratio_mask(clean, clean + other).item() == 0.5
    other = torch.tensor([0.0, 12.0]).view(1, 2, 1, 1)
    assert ratio_mask(clean, clean + other).item() == 0.25


def test_nothing_mixed_in_leaves_everything():
    clean = torch.rand(2, 1, 5, 6) + 1e-3
    assert (ratio_mask(clean, clean) == 1).all()


@pytest.mark.parametrize('reduction', ['mse', 'norm'])
def test_silence_is_finite(reduction):
    silence = torch.zeros(2, 1, 8, 8)
    target = ratio_mask(silence, silence)
    assert (target == 0).all()
    logits = torch.randn(2, 3, 2, 2, requires_grad=True)
    loss = ratio_mask_loss(logits, target, torch.ones(2, 3).bool(), reduction)
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()


def test_half_precision_is_left_behind():
    logits = torch.randn(1, 2, 4, 4)
    target = torch.rand(1, 8, 8)
    valid = torch.ones(1, 2).bool()
    loss = RatioMaskLoss()
    with torch.autocast('cpu', torch.bfloat16):
        cast = loss(logits.bfloat16(), target, valid)
    assert cast.dtype == torch.float32
    torch.testing.assert_close(
        cast, loss(logits.bfloat16().float(), target, valid)
    )


def test_unknown_reduction_is_refused():
    with pytest.raises(ValueError, match="reduction.*'sum'"):
        MODELS.build(dict(type='RatioMaskLoss', reduction='sum'))


def test_unexplained_share_by_hand():
    # Two frames; the third has no prompt and does not count.
    target = torch.tensor([[[0.2, 0.4]], [[0.6, 0.8]], [[0.0, 1.0]]])
    logits = torch.zeros(3, 1, 1, 2)  # One half everywhere, the best constant.
    valid = torch.tensor([[True], [True], [False]])
    assert unexplained_ratio(logits, target, valid) == pytest.approx(1.0)
    perfect = torch.logit(target.clamp(0.01, 0.99))[:, None]
    assert unexplained_ratio(perfect, target, valid) < 1e-6
    # Of squares 9, 1, 1, 9 the first frame's go: half is left.
    half = logits.clone()
    half[0] = perfect[0]
    assert unexplained_ratio(half, target, valid) == pytest.approx(0.5)


def test_a_constant_target_or_no_prompt_leaves_all_open():
    logits = torch.zeros(1, 1, 1, 2)
    valid = torch.ones(1, 1, dtype=torch.bool)
    target = torch.full((1, 1, 2), 0.5)
    assert unexplained_ratio(logits, target, valid) == 1
    assert unexplained_ratio(logits, torch.rand(1, 1, 2), ~valid) == 1
