import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmcpm.datasets import AVSBenchObjectDataset, VPODataset
from mmcpm.datasets.errors import LabelReadError
from mmcpm.datasets.transforms import (
    LoadBinaryAnnotations,
    LoadTranslatedAnnotations,
)
from mmcpm.datasets.transforms.label_values import (
    binary_mask,
    translate_labels,
)
from mmcpm.datasets.vpo import COCO_IDS

CLASSES = VPODataset.METAINFO['classes']
# The sentence of the VPO facts, in their order, and nothing of the code.
PUBLISHED = (
    '3 car, 4 motorcycle, 5 airplane, 6 bus, 16 bird, 17 cat, 18 dog, '
    '19 horse, 20 sheep, 21 cow, 22 elephant, 24 zebra, 37 sports ball, '
    '41 skateboard, 43 tennis racket, 74 mouse, 76 keyboard, 77 cell phone, '
    '92 male, 93 female, 94 baby'
)
VALUES = {
    int(value): CLASSES.index(name)
    for value, _, name in (e.partition(' ') for e in PUBLISHED.split(', '))
} | {0: 0}


def load(transform, path, **results):
    return transform({'seg_map_path': str(path), **results})['gt_seg_map']


# Black and white


def picture():
    gray = np.zeros((4, 6), np.uint8)
    gray[:, 1:] = [127, 128, 255, 1, 254]
    return gray, np.tile(np.uint8([0, 0, 1, 1, 0, 1]), (4, 1))


def test_255_is_foreground(tmp_path):
    gray, expected = picture()
    cv2.imwrite(str(tmp_path / 'a.png'), gray)
    label = load(LoadBinaryAnnotations(), tmp_path / 'a.png')
    np.testing.assert_array_equal(label, expected)
    assert label.dtype == np.uint8
    assert AVSBenchObjectDataset.METAINFO['classes'][1] == 'sounding'


@pytest.mark.parametrize('mode', ['1', 'L', 'P', 'RGB', 'RGBA', 'LA'])
def test_every_way_to_store_black_and_white_is_read(tmp_path, mode):
    mask = np.zeros((8, 10), np.uint8)
    mask[2:5, 3:9] = 1
    image = Image.fromarray(255 * mask).convert(mode)
    if mode == 'P':
        image = Image.fromarray(mask, mode='P')
        image.putpalette([0, 0, 0, 255, 255, 255])
    image.save(tmp_path / 'a.png')
    label = load(LoadBinaryAnnotations(), tmp_path / 'a.png')
    np.testing.assert_array_equal(label, mask)


def test_an_empty_mask_is_a_mask(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((4, 4), np.uint8))
    assert not load(LoadBinaryAnnotations(), tmp_path / 'a.png').any()


def test_masks_of_ones_would_all_be_empty(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.eye(4, dtype=np.uint8))
    with pytest.raises(LabelReadError, match='brightest value is 1.*thresho'):
        load(LoadBinaryAnnotations(), tmp_path / 'a.png')
    label = load(LoadBinaryAnnotations(threshold=0), tmp_path / 'a.png')
    assert label.trace() == 4


def test_a_color_picture_is_no_mask(tmp_path):
    colors = np.zeros((4, 4, 3), np.uint8)
    colors[0, 0] = [0, 128, 255]
    cv2.imwrite(str(tmp_path / 'a.png'), colors)
    with pytest.raises(LabelReadError, match=r'a.png: it is a color picture'):
        load(LoadBinaryAnnotations(), tmp_path / 'a.png')


@pytest.mark.parametrize('threshold', [-1, 255])
def test_impossible_thresholds_are_refused(threshold):
    with pytest.raises(ValueError, match=f'got {threshold}'):
        LoadBinaryAnnotations(threshold=threshold)


@given(st.lists(st.integers(0, 255), min_size=1), st.integers(0, 254))
def test_threshold_is_the_last_gray_of_the_background(grays, threshold):
    gray = np.array([grays], np.uint8)
    expected = [int(value > threshold) for value in grays]
    if any(expected) or not any(grays):
        assert binary_mask(gray, threshold).tolist() == [expected]
    else:
        with pytest.raises(ValueError, match=f'value is {max(grays)}'):
            binary_mask(gray, threshold)


# Ids of COCO


def test_ids_are_those_published():
    assert len(VALUES) == 22
    assert {v: CLASSES.index(name) for v, name in COCO_IDS.items()} == VALUES


@settings(max_examples=50)
@given(st.lists(st.sampled_from([*VALUES, 255]), min_size=1))
def test_every_pixel_is_translated_once(values):
    labels = translate_labels(np.array([values], np.uint8), VALUES, 255)
    assert labels.tolist() == [
        [255 if value == 255 else VALUES[value] for value in values]
    ]


def test_ids_that_are_also_class_ids_do_not_collide(tmp_path):
    # One after another, car 3 -> 5 -> 1 would end as airplane.
    cv2.imwrite(str(tmp_path / 'a.png'), np.array([[3, 5, 16, 255]], np.uint8))
    label = load(
        LoadTranslatedAnnotations(), tmp_path / 'a.png', label_values=VALUES
    )
    names = [CLASSES[value] for value in label[0, :3]]
    assert names == ['car', 'airplane', 'bird'] and label[0, 3] == 255


def test_chosen_classes_are_renamed_after_the_translation(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.array([[0, 3, 5]], np.uint8))
    label = load(
        LoadTranslatedAnnotations(),
        tmp_path / 'a.png',
        label_values=VALUES,
        label_map={i: {0: 0, 5: 1}.get(i, 255) for i in range(22)},
    )
    assert label.tolist() == [[0, 1, 255]]


@pytest.mark.parametrize(
    ('pixels', 'match'),
    [
        (np.uint8([[0, 1, 2, 3]]), 'values 1, 2. Expected .* 92, 93, 94 '),
        (np.uint16([[0, 300]]), 'values 300'),
        (np.zeros((2, 2, 3), np.uint8), r'shape \(2, 2, 3\), a color'),
    ],
)
def test_other_values_are_refused(tmp_path, pixels, match):
    cv2.imwrite(str(tmp_path / 'a.png'), pixels)
    with pytest.raises(LabelReadError, match=match):
        load(
            LoadTranslatedAnnotations(),
            tmp_path / 'a.png',
            label_values=VALUES,
        )


# Both

READERS = [
    (LoadBinaryAnnotations(), {}),
    (LoadTranslatedAnnotations(), {'label_values': VALUES}),
]


@pytest.mark.parametrize(('reader', 'results'), READERS)
def test_sizes_of_frame_and_label_must_agree(tmp_path, reader, results):
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((4, 6), np.uint8))
    with pytest.raises(LabelReadError) as error:
        load(
            reader,
            tmp_path / 'a.png',
            img_path='a.jpg',
            ori_shape=(6, 4),
            **results,
        )
    assert 'is 4 x 6 (height x width), its frame a.jpg is 6 x 4' in str(
        error.value
    )


@pytest.mark.parametrize('content', [None, b'', b'<html>', 'cut'])
@pytest.mark.parametrize(('reader', 'results'), READERS)
def test_files_that_are_not_whole_are_named(
    tmp_path, reader, results, content, rng
):
    path = tmp_path / 'a.png'
    if content == 'cut':
        noise = 255 * rng.integers(0, 2, (64, 64), dtype=np.uint8)
        content = cv2.imencode('.png', noise)[1].tobytes()[:200]
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LabelReadError, match=f'label file {path}: '):
        load(reader, path, **results)
