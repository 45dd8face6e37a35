import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from mmcpm.dataset_converters.vpo_builder.segmentation import (
    encode_segmentation,
    mask_area,
    mask_center,
    paint,
)

MASKS = st.tuples(st.integers(1, 40), st.integers(1, 40)).flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 1))
)


def run_lengths(mask):
    """Count runs column by column, beginning with zeros."""
    runs, value = [0], 0
    for pixel in mask.T.ravel():
        if pixel != value:
            value = pixel
            runs.append(0)
        runs[-1] += 1
    return runs


@given(MASKS)
def test_run_lengths_and_their_string_are_the_mask(mask):
    string = coco_mask.encode(np.asfortranarray(mask))['counts'].decode()
    for counts in (run_lengths(mask), string):
        rle = encode_segmentation(
            {'size': list(mask.shape), 'counts': counts}, *mask.shape
        )
        np.testing.assert_array_equal(coco_mask.decode(rle), mask)
        assert mask_area(rle) == mask.sum()


def test_polygons_of_an_object_are_joined():
    left, right = [0, 0, 4, 0, 4, 3, 0, 3], [6, 2, 10, 2, 10, 6, 6, 6]
    rle = encode_segmentation([left, right], 8, 12)
    expected = np.zeros((8, 12), np.uint8)
    expected[:3, :4] = expected[2:6, 6:10] = 1
    np.testing.assert_array_equal(coco_mask.decode(rle), expected)
    assert mask_area(rle) == 12 + 16
    assert mask_center(rle) == 5


@pytest.mark.parametrize(
    ('segmentation', 'told'),
    [
        (None, 'None'),
        ([], r'\[\]'),
        ([[1, 2, 3, 4]], '4 coordinates'),
        ([[1, 2, 3, 4, 5, 6, 7]], '7 coordinates'),
        ([1, 2, 3, 4, 5, 6], '1 coordinates'),
        ([[1, 2, 3, float('nan'), 5, 6]], 'coordinate nan'),
        ([[1, 2, 3, '4', 5, 6]], 'coordinate 4'),
        ([[0, 0, 900, 0, 0, 5]], 'coordinate 900.*4 x 6'),
        ({'size': [6, 4], 'counts': [24]}, r'size \[6, 4\].*\[4, 6\]'),
        ({'size': [4, 6], 'counts': [20]}, 'add up to 20.*24 pixels'),
        ({'size': [4, 6], 'counts': [30, -6]}, 'no whole numbers'),
        ({'size': [4, 6], 'counts': 24}, 'counts are 24'),
        ({'size': [4, 6]}, 'counts are None'),
        # 'h0' says 24; without its second letter nothing ends the number.
        ({'size': [4, 6], 'counts': 'h'}, 'middle of a number'),
        ({'size': [4, 6], 'counts': '\u00e9'}, 'character'),
        ({'size': [4, 6], 'counts': '5'}, 'add up to 5'),
    ],
)
def test_what_is_no_mask_is_refused(segmentation, told):
    with pytest.raises(ValueError, match=told):
        encode_segmentation(segmentation, 4, 6)


def test_small_masks_are_painted_over_large_ones():
    large = encode_segmentation([[0, 0, 6, 0, 6, 4, 0, 4]], 4, 6)
    small = encode_segmentation([[1, 1, 3, 1, 3, 3, 1, 3]], 4, 6)
    for masks in ([small, large], [large, small]):
        painted = paint(masks, 4, 6)
        assert (painted == masks.index(small) + 1).sum() == 4
        assert (painted == masks.index(large) + 1).sum() == 20
    assert paint([small], 4, 6)[0, 0] == 0
