import numpy as np
import pytest
import torch

from mmcpm.evaluation import frame_confusion


def test_rows_are_labels():
    confusion = frame_confusion(np.array([[2]]), np.array([[1]]), 3)
    assert confusion.dtype == np.int64
    assert confusion[1, 2] == 1 and confusion.sum() == 1


def test_uint8_maps_of_many_classes_do_not_overflow():
    confusion = frame_confusion(
        np.full((2, 2), 70, np.uint8), np.full((2, 2), 69, np.uint8), 71
    )
    assert confusion[69, 70] == 4


def test_tensors_with_leading_axis():
    prediction = torch.tensor([[[0, 1]]])
    assert frame_confusion(prediction, prediction, 2).tolist() == [
        [1, 0],
        [0, 1],
    ]


@pytest.mark.parametrize('name', ['label', 'prediction'])
@pytest.mark.parametrize('value', [3, 200, -1])
def test_values_out_of_range_are_refused(name, value):
    maps = {
        'label': np.zeros((2, 2), np.int64),
        'prediction': np.zeros((2, 2), np.int64),
    }
    maps[name][1, 0] = value
    with pytest.raises(
        ValueError, match=rf'clip/7: the {name} holds the value {value}'
    ):
        frame_confusion(**maps, num_classes=3, sample_id='clip/7')


def test_any_prediction_is_accepted_where_ignored():
    label = np.array([[255, 0]], np.uint8)
    prediction = np.array([[99, 0]])
    assert frame_confusion(prediction, label, 2).tolist() == [[1, 0], [0, 0]]


def test_other_ignore_index():
    label = np.array([[7, 0]], np.uint8)
    confusion = frame_confusion(label * 0, label, 2, ignore_index=7)
    assert confusion.sum() == 1


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r'clip/0.*\(2, 3\).*\(3, 2\)'):
        frame_confusion(
            np.zeros((2, 3), int), np.zeros((3, 2), int), 2, sample_id='clip/0'
        )


def test_probabilities_are_refused():
    with pytest.raises(TypeError, match='clip/0: the prediction.*float32'):
        frame_confusion(
            np.zeros((2, 2), np.float32),
            np.zeros((2, 2), int),
            2,
            sample_id='clip/0',
        )


def test_stacked_frames_are_refused():
    with pytest.raises(ValueError, match=r'\(2, 4, 4\)'):
        frame_confusion(np.zeros((2, 4, 4), int), np.zeros((4, 4), int), 2)


def test_without_ignored_label_every_value_is_a_class():
    label = np.array([[255, 0]], np.uint8)
    with pytest.raises(ValueError, match='255.*no label is ignored'):
        frame_confusion(label * 0, label, 2, ignore_index=None)
    assert frame_confusion(label * 0, label * 0, 2, None).sum() == 2
