import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import mmcpm.models.utils.semantic_inference as module
from mmcpm.models.utils.semantic_inference import (
    semantic_inference,
    source_rows,
)

CLASSES, QUERIES = 4, 5
SIZES = st.integers(1, 40)


def plain_merge(class_scores, mask_logits, size):
    """As mmseg's Mask2FormerHead.predict writes it."""
    masks = F.interpolate(
        mask_logits, size=size, mode='bilinear', align_corners=False
    )
    probability = F.softmax(class_scores, dim=-1)[..., :-1]
    return torch.einsum('bqc,bqhw->bchw', probability, masks.sigmoid())


def draw(batch, rows, columns, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(batch, QUERIES, CLASSES + 1, generator=generator),
        4 * torch.randn(batch, QUERIES, rows, columns, generator=generator),
    )


@given(
    st.integers(1, 3),
    st.tuples(SIZES, SIZES),
    st.tuples(SIZES, SIZES),
    st.sampled_from([1, 700, 10**6]),
)
@settings(max_examples=80, deadline=None)
def test_it_is_the_plain_one(batch, source, size, room):
    """Larger, smaller, odd; in bands of one row, of some, of all."""
    scores, masks = draw(batch, *source)
    before = dict(module.BAND_NUMBERS)
    module.BAND_NUMBERS['cpu'] = room
    try:
        merged = semantic_inference(scores, masks, size)
    finally:
        module.BAND_NUMBERS.update(before)
    assert merged.shape == (batch, CLASSES, *size)
    assert merged.dtype == torch.float32
    torch.testing.assert_close(
        merged, plain_merge(scores, masks, size), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    'source,size',
    [
        ((184, 320), (736, 1280)),
        ((25, 37), (99, 147)),
        ((64, 64), (17, 200)),
        ((3, 3), (3, 3)),
    ],
)
def test_sizes_of_use(source, size):
    scores, masks = draw(1, *source)
    torch.testing.assert_close(
        semantic_inference(scores, masks, size),
        plain_merge(scores, masks, size),
        rtol=1e-4,
        atol=1e-5,
    )


@given(SIZES, SIZES)
def test_rows_between_which_to_interpolate(size, source):
    """The weights are those of F.interpolate on a ramp of squares."""
    upper, lower, weight = source_rows(size, source, torch.device('cpu'))
    values = torch.arange(source).float().square()
    mixed = values[upper] * (1 - weight) + values[lower] * weight
    expected = F.interpolate(
        values.view(1, 1, -1, 1),
        size=(size, 1),
        mode='bilinear',
        align_corners=False,
    )
    torch.testing.assert_close(mixed, expected.flatten(), rtol=1e-4, atol=1e-3)


def test_bands_are_small(monkeypatch):
    """No band holds more numbers than it may."""
    held = []
    sigmoid = torch.Tensor.sigmoid_
    monkeypatch.setattr(
        torch.Tensor,
        'sigmoid_',
        lambda self: held.append(self.numel()) or sigmoid(self),
    )
    monkeypatch.setitem(module.BAND_NUMBERS, 'cpu', 2 * QUERIES * 30 * 4)
    semantic_inference(*draw(2, 8, 8), (50, 30))
    # Four rows at a time, of two images; two are left.
    assert held == [2 * QUERIES * 30 * 4] * 12 + [2 * QUERIES * 30 * 2]
    # At least a row, whatever the room.
    held.clear()
    monkeypatch.setitem(module.BAND_NUMBERS, 'cpu', 1)
    semantic_inference(*draw(2, 8, 8), (5, 30))
    assert held == [2 * QUERIES * 30] * 5


def test_arguments_are_left_alone():
    """Also where nothing has to be resized."""
    scores, masks = draw(1, 6, 6)
    before = (scores.clone(), masks.clone())
    semantic_inference(scores, masks, (6, 6))
    assert torch.equal(scores, before[0])
    assert torch.equal(masks, before[1])


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_merged_in_float32(dtype):
    scores, masks = (t.to(dtype) for t in draw(2, 9, 7))
    torch.testing.assert_close(
        semantic_inference(scores, masks, (20, 31)),
        plain_merge(scores.float(), masks.float(), (20, 31)),
        rtol=1e-4,
        atol=1e-5,
    )


def test_extreme_logits():
    scores, masks = draw(1, 5, 5)
    merged = semantic_inference(1e6 * scores, 1e6 * masks, (13, 11))
    assert merged.isfinite().all()
    assert ((merged >= 0) & (merged <= QUERIES)).all()
