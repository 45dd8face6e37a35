import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcpm.models.losses.matched_masks import (
    collect_indices,
    make_masks,
    matched_indices,
    prompted_indices,
    scatter_terms,
)

CPU = torch.device('cpu')
LAYERS, QUERIES, DIMS, HEIGHT, WIDTH = 3, 6, 4, 3, 5


def test_matched_rows_by_hand():
    matches = [
        [([1, 4], [1, 0]), ([], [])],
        [([0, 2], [0, 1]), ([], [])],
    ]
    rows = matched_indices(matches, [[3, 7], []])
    assert rows.dtype == np.int64
    assert rows.tolist() == [
        [0, 0, 1, 7],
        [0, 0, 4, 3],
        [1, 0, 0, 3],
        [1, 0, 2, 7],
    ]
    assert matched_indices([[([], [])]] * 4, [[]]).shape == (0, 4)


def test_prompted_rows_by_hand():
    rows = prompted_indices([[2, 5], [], [1]], [[0, 5], [1], [0]], 2, 10)
    # Of image 0 the crop has lost class 2, of image 2 everything.
    assert rows.tolist() == [[0, 0, 11, 5], [1, 0, 11, 5]]
    assert prompted_indices([[], []], [[1], []], 3, 4).shape == (0, 4)


@st.composite
def row_lists(draw):
    """Two lists of rows of different masks, in any order; images."""
    images = draw(st.integers(1, 4))
    places = draw(
        st.lists(
            st.tuples(
                st.integers(0, LAYERS - 1),
                st.integers(0, images - 1),
                st.integers(0, QUERIES - 1),
            ),
            unique=True,
            max_size=15,
        )
    )
    rows = [(*place, 10 + slot) for slot, place in enumerate(places)]
    cut = draw(st.integers(0, len(rows)))
    parts = [
        np.array(part, dtype=np.int64).reshape(-1, 4)
        for part in (rows[:cut], rows[cut:])
    ]
    return parts, images


@given(row_lists())
@settings(max_examples=60, deadline=None)
def test_rows_are_collected_by_image(drawn):
    parts, images = drawn
    rows = collect_indices(parts, images, CPU)
    given_rows = [tuple(row) for part in parts for row in part.tolist()]
    expected = [r for i in range(images) for r in given_rows if r[1] == i]
    collected = torch.stack(rows[:4], 1)
    assert collected.dtype == torch.int64
    assert [tuple(row) for row in collected.tolist()] == expected
    assert rows.counts == [
        sum(row[1] == i for row in expected) for i in range(images)
    ]


@given(row_lists(), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_masks_and_places_are_those_of_a_loop(drawn, seed):
    parts, images = drawn
    rows = collect_indices(parts, images, CPU)
    generator = torch.Generator().manual_seed(seed)
    embedding = torch.randn(
        LAYERS, images, QUERIES, DIMS, generator=generator
    ).requires_grad_()
    feature = torch.randn(
        images, DIMS, HEIGHT, WIDTH, generator=generator
    ).requires_grad_()
    masks = make_masks(embedding, feature, rows)
    assert masks.shape == (len(rows.layer), HEIGHT, WIDTH)
    every = torch.einsum('lbtc,bchw->lbthw', embedding, feature)
    values = masks.sum((1, 2))
    spread = scatter_terms(values, rows, (LAYERS, images, QUERIES))
    expected = torch.zeros(LAYERS, images, QUERIES)
    for mask, layer, image, query in zip(masks, *rows[:3], strict=True):
        torch.testing.assert_close(
            mask, every[layer, image, query], rtol=1e-5, atol=1e-5
        )
        expected[layer, image, query] = mask.sum()
    torch.testing.assert_close(spread, expected)
    # No row is no reason to leave the graph.
    spread.sum().backward()
    wanted = torch.zeros_like(embedding)
    for layer, image, query in zip(*rows[:3], strict=True):
        wanted[layer, image, query] = feature[image].sum((1, 2)).detach()
    torch.testing.assert_close(embedding.grad, wanted, rtol=1e-5, atol=1e-5)
    assert feature.grad is not None
