import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmseg.structures import SegDataSample

from mmcpm.structures.audio_labels import (
    check_class_ids,
    foreground_classes,
    get_audio_labels,
    label_map_classes,
)


def sample(**meta):
    return SegDataSample(metainfo=meta)


@given(
    st.lists(st.integers(0, 255), min_size=1, max_size=30),
    st.sampled_from([255, 7]),
    st.sampled_from([np.uint8, np.int64]),
)
def test_classes_of_a_label_map(values, ignored, dtype):
    label_map = np.array([values], dtype)
    expected = sorted(k for k in set(values) if k not in (0, ignored))
    assert label_map_classes(label_map, ignored) == tuple(expected)


def test_background_and_ignored_are_dropped():
    assert foreground_classes([3, 0, 255, 1]) == (3, 1)
    assert foreground_classes([3, 0, 255, 1], ignore_index=1) == (3, 255)


def test_labels_of_the_whole_frame():
    samples = [sample(audio_labels=(0, 2, 255)), sample(audio_labels=())]
    assert get_audio_labels(samples, 9) == [[2], []]


def test_samples_without_labels():
    samples = [sample(audio_labels=(2,)), sample(img_path='clip/1.jpg')]
    with pytest.raises(KeyError, match=r'clip/1\.jpg.*RecordSoundingClasses'):
        get_audio_labels(samples, 9)
    found = get_audio_labels(samples, 9, default=[[5], [0, 1, 4]])
    assert found == [[2], [1, 4]]


def test_classes_out_of_range_name_the_frame():
    with pytest.raises(ValueError, match=r'a\.png.*\[-1, 9\].*0\.\.8'):
        check_class_ids([9, 3, -1], 9, dict(seg_map_path='a.png'))
    samples = [sample(audio_labels=(9,), img_path='b.jpg')]
    with pytest.raises(ValueError, match=r'b\.jpg.*\[9\]'):
        get_audio_labels(samples, 9)
