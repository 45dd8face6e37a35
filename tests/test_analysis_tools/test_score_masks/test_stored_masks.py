import numpy as np
import pytest
from PIL import Image

from mmcpm.analysis_tools.score_masks.stored_masks import (
    StoredMask,
    decode,
    detect_kind,
    read_values,
    resize,
)
from mmcpm.datasets.transforms.resizing import ResizeAsOriginal

PALETTE = [[0, 0, 0], [128, 0, 0], [0, 128, 0], [192, 0, 64]]


def png(path, array, mode=None):
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path)
    return read_values(path)


def npy(path, array):
    np.save(path, array)
    return read_values(path)


def test_label_maps(tmp_path):
    ids = np.uint8([[0, 3], [1, 2]])
    for values in (
        png(tmp_path / 'a.png', ids),
        png(tmp_path / 'b.png', ids.astype(np.uint16)),
        npy(tmp_path / 'c.npy', ids.astype(np.int64)),
        png(tmp_path / 'd.png', np.uint8(PALETTE)[ids]),
        npy(tmp_path / 'e.npy', ids[None]),
    ):
        assert detect_kind(values, 4) == 'labels'
        mask = decode(values, 'labels', 4, PALETTE)
        assert mask.labels.tolist() == [[0, 3], [1, 2]]
        assert mask.probability.tolist() == [[0, 1], [1, 1]]
        assert mask.probability.dtype == np.float32


def test_published_masks_have_a_color_table(tmp_path):
    """AVSBench's code saves 0 and 255 in mode P."""
    values = png(tmp_path / 'a.png', np.uint8([[0, 255]]), 'P')
    assert values.tolist() == [[0, 255]]
    assert detect_kind(values, 2) == 'mask'
    assert decode(values, 'mask', 2).labels.tolist() == [[0, 1]]


def test_grays_are_probabilities(tmp_path):
    grays = np.uint8([[0, 127, 128, 255]])
    mask = decode(png(tmp_path / 'a.png', grays), 'mask', 2)
    assert mask.labels.tolist() == [[0, 0, 1, 1]]
    np.testing.assert_array_equal(
        mask.probability, np.float32([[0, 127 / 255, 128 / 255, 1]])
    )
    deep = png(tmp_path / 'b.png', np.uint16([[0, 65535, 257 * 51]]))
    assert decode(deep, 'mask', 2).probability[0] == pytest.approx([0, 1, 0.2])
    colors = png(tmp_path / 'c.png', np.repeat(grays[..., None], 3, -1))
    assert detect_kind(colors, 2) == 'mask'
    assert decode(colors, 'mask', 2).labels.tolist() == [[0, 0, 1, 1]]


def test_two_classes_of_zeros_and_ones_leave_the_kind_open(tmp_path):
    assert detect_kind(np.uint8([[0, 1]]), 2) is None
    assert detect_kind(np.uint8([[0, 0]]), 2) is None
    assert detect_kind(np.uint8([[0, 2]]), 2) == 'mask'


def test_probabilities_and_scores(tmp_path):
    soft = npy(tmp_path / 'a.npy', np.float32([[0.2, 0.5, 0.51]]))
    assert detect_kind(soft, 2) == 'probabilities'
    assert decode(soft, 'probabilities', 2).labels.tolist() == [[0, 0, 1]]
    logits = npy(tmp_path / 'b.npy', np.float64([[-1, 0, np.log(3)]]))
    assert detect_kind(logits, 2) == 'scores'
    mask = decode(logits, 'scores', 2)
    assert mask.probability[0] == pytest.approx([1 / (1 + np.e), 0.5, 0.75])
    assert mask.labels.tolist() == [[0, 0, 1]]
    # Three classes, two pixels.
    of_classes = np.float16([[[0.5, 0.1]], [[0.25, 0.2]], [[0.25, 0.7]]])
    values = npy(tmp_path / 'c.npy', of_classes)
    assert detect_kind(values, 3) == 'probabilities'
    mask = decode(values, 'probabilities', 3)
    assert mask.labels.tolist() == [[0, 2]]
    assert mask.probability[0] == pytest.approx([0.5, 0.9], abs=1e-3)
    values = npy(tmp_path / 'd.npy', np.log(of_classes.astype(float)) + 3)
    assert detect_kind(values, 3) == 'scores'
    mask = decode(values, 'scores', 3)
    assert mask.labels.tolist() == [[0, 2]]
    assert mask.probability[0] == pytest.approx([0.5, 0.9], abs=1e-3)
    # Two classes: COMBO's softmax over the two.
    two = np.float32([[[0.3]], [[0.3 + np.log(3)]]])
    assert decode(two, 'scores', 2).probability[0] == pytest.approx([0.75])


@pytest.mark.parametrize(
    ('values', 'kind', 'classes', 'message'),
    [
        (np.uint8([[0, 4]]), 'labels', 4, 'holds the values 4, expected'),
        (np.uint8([[255]]), 'labels', 4, 'values 255'),
        (np.int64([[-1]]), 'labels', 4, 'values -1'),
        (np.float32([[1]]), 'labels', 4, 'float32, expected integers'),
        (np.uint8([[[1, 2, 3]]]), 'labels', 4, r'palette \(RGB \(1, 2, 3\)\)'),
        (np.uint8([[255]]), 'mask', 4, 'tells of two classes'),
        (np.float32([[1.5]]), 'probabilities', 2, '--kind scores'),
        (np.float32([[np.nan]]), 'probabilities', 2, 'NaN'),
        (np.uint8([[1]]), 'probabilities', 2, 'expected floats'),
        (np.float32([[0.5]]), 'probabilities', 4, r'expected \(4, height'),
        (np.ones((3, 1, 1), np.float32), 'scores', 4, r'\(4, height'),
        (np.ones((2, 1, 1), np.float32), 'probabilities', 2, 'add up to 2'),
    ],
)
def test_what_is_no_prediction_is_refused(values, kind, classes, message):
    with pytest.raises(ValueError, match=message):
        decode(values, kind, classes, PALETTE)


def test_damaged_files(tmp_path):
    path = tmp_path / 'a.png'
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match='truncated'):
        read_values(path)
    path = tmp_path / 'a.npy'
    np.save(path, np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match='allow_pickle'):
        read_values(path)
    path.write_bytes(b'')
    with pytest.raises(ValueError, match='empty'):
        read_values(path)


def test_resizing_takes_the_pixels_that_the_pipeline_takes(rng):
    labels = rng.integers(0, 4, (7, 9))
    mask = StoredMask(labels, (labels > 0).astype(np.float32))
    found = resize(mask, (5, 6), 4)
    results = {
        'img': np.zeros((7, 9, 3), np.uint8),
        'gt_seg_map': labels.astype(np.uint8),
        'seg_fields': ['gt_seg_map'],
    }
    expected = ResizeAsOriginal(size=(6, 5))(results)['gt_seg_map']
    np.testing.assert_array_equal(found.labels, expected)
    np.testing.assert_array_equal(found.probability, found.labels > 0)
    assert resize(mask, (7, 9), 4) is mask


def test_probabilities_are_resized_between_pixels():
    soft = np.float32([[0.2, 0.8]])
    mask = StoredMask((soft > 0.5).astype(int), soft)
    found = resize(mask, (1, 4), 2)
    assert found.probability[0] == pytest.approx([0.2, 0.35, 0.65, 0.8])
    assert found.labels.tolist() == [[0, 0, 1, 1]]
