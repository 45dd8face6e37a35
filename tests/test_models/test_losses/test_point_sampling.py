import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.ops import point_sample
from mmdet.models.utils import get_uncertain_point_coords_with_randomness

from mmcpm.models.losses.point_sampling import (
    class_mask_at_points,
    classes_present,
    logits_at_points,
    uncertain_points,
)

SIZES = st.integers(1, 9)


@given(SIZES, SIZES, st.integers(1, 3), st.integers(0, 10**6))
@settings(max_examples=80, deadline=None)
def test_classes_at_points_are_those_of_masks(height, width, batch, seed):
    """mmcv's bilinear sampling of the mask of each class."""
    generator = torch.Generator().manual_seed(seed)
    label_maps = torch.randint(
        0, 4, (batch, height, width), generator=generator
    )
    label_maps[label_maps == 3] = 255
    num_rows, num_points = 5, 30
    rows = torch.randint(batch, (num_rows,), generator=generator)
    classes = torch.randint(0, 4, (num_rows,), generator=generator)
    points = torch.rand(num_rows, num_points, 2, generator=generator)
    # Corners, edges and centers of pixels.
    points[0, :4] = torch.tensor([[0, 0], [1, 1], [0, 1], [1, 0]])
    points[1, 0] = torch.tensor([0.5 / width, 0.5 / height])
    points[1, 1] = torch.tensor([1 / width, 1 / height])
    points[1, 2] = torch.tensor([1 - 0.5 / width, 1 - 0.5 / height])
    actual = class_mask_at_points(label_maps, rows, classes, points)
    masks = (label_maps[rows] == classes[:, None, None]).float()
    expected = point_sample(masks[:, None], points)[:, 0]
    assert actual.shape == (num_rows, num_points)
    torch.testing.assert_close(actual, expected, rtol=0, atol=3e-6)


def test_classes_at_points_by_hand():
    label_maps = torch.tensor([[[1, 2], [2, 2]], [[2, 1], [1, 1]]])
    points = torch.tensor(
        [
            [0.25, 0.25],  # the center of the upper left pixel
            [0.5, 0.5],  # between all four
            [0.5, 0.25],  # between the upper two
            [0.0, 0.0],  # a quarter of the corner lies inside
            [0.375, 0.25],
        ]
    )
    rows, classes = torch.tensor([0, 1, 0, 0]), torch.tensor([1, 1, 2, 7])
    actual = class_mask_at_points(
        label_maps, rows, classes, points.expand(4, -1, -1)
    )
    expected = [
        [1, 0.25, 0.5, 0.25, 0.75],
        [0, 0.75, 0.5, 0, 0.25],
        [0, 0.75, 0.5, 0, 0.25],
        [0, 0, 0, 0, 0],
    ]
    torch.testing.assert_close(actual, torch.tensor(expected))


@pytest.mark.parametrize('dtype', [torch.uint8, torch.int32, torch.int64])
def test_types_of_label_maps(dtype):
    label_maps = torch.tensor([[[0, 255], [254, 1]]], dtype=dtype)
    points = torch.tensor([[[0.75, 0.25]], [[0.25, 0.75]]])
    actual = class_mask_at_points(
        label_maps, torch.zeros(2).long(), torch.tensor([255, 254]), points
    )
    assert actual.tolist() == [[1.0], [1.0]]


def test_float64_points_stay_float64():
    points = torch.rand(1, 3, 2, dtype=torch.float64)
    zero = torch.zeros(1, dtype=torch.long)
    share = class_mask_at_points(torch.zeros(1, 4, 4), zero, zero, points)
    assert share.dtype == torch.float64


def test_no_rows():
    empty = torch.zeros(0, dtype=torch.long)
    share = class_mask_at_points(
        torch.zeros(2, 4, 4).long(), empty, empty, torch.zeros(0, 7, 2)
    )
    assert share.shape == (0, 7)


@given(
    st.lists(
        st.lists(st.integers(-3, 400), min_size=6, max_size=6),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from([255, 0, 7]),
)
@settings(max_examples=80, deadline=None)
def test_classes_present(pixels, ignore_index):
    label_maps = torch.tensor(pixels).view(-1, 2, 3)
    expected = [
        sorted({min(max(p, -1), 256) for p in image} - {ignore_index})
        for image in pixels
    ]
    assert classes_present(label_maps, ignore_index) == expected


def test_classes_present_by_hand():
    label_maps = torch.tensor([[[3, 0], [255, 3]], [[255] * 2] * 2])
    assert classes_present(label_maps) == [[0, 3], []]
    assert classes_present(label_maps.to(torch.uint8)) == [[0, 3], []]
    label_maps[0, 0] = torch.tensor([1000, -20])
    assert classes_present(label_maps) == [[-1, 3, 256], []]


def test_classes_present_copies_once(monkeypatch):
    copies = []
    cpu = torch.Tensor.cpu
    monkeypatch.setattr(
        torch.Tensor, 'cpu', lambda self: copies.append(1) or cpu(self)
    )
    classes_present(torch.zeros(4, 8, 8).long())
    assert copies == [1]


def test_uncertain_points_are_those_of_mmdet():
    torch.manual_seed(0)
    masks = torch.randn(4, 9, 7)
    torch.manual_seed(5)
    points = uncertain_points(masks.requires_grad_(), 16, 3.0, 0.75)
    torch.manual_seed(5)
    expected = get_uncertain_point_coords_with_randomness(
        masks[:, None].detach(), None, 16, 3.0, 0.75
    )
    assert torch.equal(points, expected)
    assert points.shape == (4, 16, 2) and not points.requires_grad


def test_uncertain_points_are_uncertain():
    """One pixel of many is undecided, and corners, half outside, are."""
    masks = torch.full((1, 16, 16), 50.0)
    masks[0, 4, 11] = 0.0
    torch.manual_seed(0)
    points = uncertain_points(masks, 8, 200.0, 0.5)
    center = torch.tensor([11.5, 4.5]) / 16
    assert (points[0, 0] - center).abs().amax() < 0.5 / 16
    logits = logits_at_points(masks, points)[0].abs()
    assert logits[:4].max() < 20 and logits[4:].min() > 45


def test_points_keep_their_precision():
    """In half precision they would be steps of a pixel."""
    masks = torch.randn(2, 8, 8).bfloat16()
    points = uncertain_points(masks, 64, 3.0, 0.5)
    assert points.dtype == torch.float32
    assert not torch.equal(points, points.bfloat16().float())


def test_logits_at_points():
    masks = torch.randn(3, 6, 8)
    points = torch.rand(3, 10, 2)
    actual = logits_at_points(masks, points)
    for row in range(3):
        torch.testing.assert_close(
            actual[row],
            point_sample(masks[row][None, None], points[row][None])[0, 0],
        )
