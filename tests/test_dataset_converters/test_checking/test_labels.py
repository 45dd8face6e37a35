import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from mmcpm.dataset_converters.checking.clip_files import ClipFiles
from mmcpm.dataset_converters.checking.labels import (
    BinaryChecker,
    ClassIdChecker,
    TranslatedChecker,
    decode_colors,
    tell_colors,
)
from mmcpm.datasets import AVSBenchSemanticDataset
from mmcpm.datasets.metadata.avsbench_semantic import sounding_names

PALETTE = AVSBenchSemanticDataset.METAINFO['palette']


@settings(max_examples=50, deadline=None)
@given(
    labels=arrays(
        np.uint8,
        array_shapes(min_dims=2, max_dims=2),
        elements=st.integers(0, 70),
    )
)
def test_decoding_undoes_painting(labels):
    decoded, unknown = decode_colors(np.uint8(PALETTE)[labels], PALETTE)
    assert decoded.dtype == np.uint8
    assert (decoded == labels).all()
    assert unknown == {}


@settings(max_examples=50, deadline=None)
@given(
    picture=arrays(np.uint8, (4, 5, 3), elements=st.sampled_from([0, 1, 128]))
)
def test_decoding_pixel_by_pixel(picture):
    decoded, unknown = decode_colors(picture, PALETTE)
    numbers = {}
    for place in np.ndindex(4, 5):
        color = [int(value) for value in picture[place]]
        if color in PALETTE:
            assert decoded[place] == PALETTE.index(color)
        else:
            assert decoded[place] == 255
            numbers[tuple(color)] = numbers.get(tuple(color), 0) + 1
    assert unknown == numbers
    assert list(unknown.values()) == sorted(numbers.values(), reverse=True)


def test_colors_of_the_published_palette():
    # Pascal VOC: 1 is dark red, 41 (man) is (192, 0, 64).
    picture = np.uint8([[[0, 0, 0], [128, 0, 0], [192, 0, 64]]])
    assert decode_colors(picture, PALETTE)[0].tolist() == [[0, 1, 41]]


def test_many_colors_are_counted():
    unknown = {(i, 0, 0): 9 - i for i in range(7)}
    told = tell_colors(unknown)
    assert told.startswith('(0, 0, 0) on 9 pixels, (1, 0, 0) on 8 pixels')
    assert told.endswith(', ... (7)')


def save(path, array, mode=None):
    image = Image.fromarray(np.asarray(array, np.uint8))
    (image.convert(mode) if mode else image).save(path)
    return str(path)


@pytest.mark.parametrize(
    ('values', 'told'),
    [([[0, 70]], []), ([[255, 3]], []), ([[0, 71]], ['values'])],
)
def test_class_ids(values, told, tmp_path):
    check = ClassIdChecker(71, PALETTE)
    header, found = check(save(tmp_path / 'a.png', values), True)
    assert header == (1, 2, 'L', 1)
    assert [kind for kind, _ in found] == told
    # Headers do not tell values.
    assert check(str(tmp_path / 'a.png'), False)[1] == []


def test_class_ids_in_a_palette_file(tmp_path):
    image = Image.fromarray(np.uint8([[0, 70]]), 'P')
    image.putpalette(np.uint8(PALETTE).tobytes())
    image.save(tmp_path / 'a.png')
    check = ClassIdChecker(71, PALETTE)
    assert check(str(tmp_path / 'a.png'), True) == ((1, 2, 'P', 1), [])


@pytest.mark.parametrize(
    ('values', 'mode', 'told'),
    [
        ([[0, 255]], None, []),
        ([[0, 255]], '1', []),
        ([[0, 255]], 'RGB', []),
        ([[0, 0]], None, []),
        ([[0, 1]], None, ['values']),
        ([[[0, 0, 9], [9, 0, 0]]], None, ['values']),
    ],
)
def test_masks(values, mode, told, tmp_path):
    path = save(tmp_path / 'a.png', values, mode)
    found = BinaryChecker()(path, False)[1]
    assert [kind for kind, _ in found] == told


def test_ids_of_coco(tmp_path):
    check = TranslatedChecker({0: 0, 3: 5})
    good, bad = ([[0, 3, 255]], [[0, 5, 3]])
    assert check(save(tmp_path / 'a.png', good), True)[1] == []
    found = check(save(tmp_path / 'b.png', bad), True)[1]
    assert found == [('values', 'it holds the values 5')]


def test_a_mask_that_is_damaged_in_its_middle(tmp_path):
    path = tmp_path / 'a.png'
    noise = np.random.default_rng(0).integers(0, 71, (60, 60))
    save(path, noise)
    data = bytearray(path.read_bytes())
    data[200:240] = bytes(40)
    path.write_bytes(data)
    check = ClassIdChecker(71, PALETTE)
    for deep in (False, True):
        assert [kind for kind, _ in check(str(path), deep)[1]] == ['label']


CLASSES = ('background', 'man', 'horse', 'dog')


@pytest.mark.parametrize(
    ('a_obj', 'told'),
    [
        ('man_horse', []),
        ('man_h orse', []),
        ('man', ['horse on 5 pixels in 2 frame(s), but a_obj names man']),
        ('off-the-screen_horse', ['man on 1 pixels in 1 frame(s)']),
        ('background', ['man on 1 pixels', 'horse on 5 pixels']),
        # Of names that are not known, nothing can be said.
        ('man_unicorn', []),
        ('', []),
    ],
)
def test_classes_that_the_row_does_not_name(a_obj, told, tmp_path):
    save(tmp_path / '0.png', [[0, 2, 2, 255, 1]])
    save(tmp_path / '1.png', [[2, 2, 2, 0, 0]])
    names = sounding_names(a_obj)
    frames = (('0.jpg', '0.png'), ('1.jpg', '1.png'), ('2.jpg', None))
    clip = ClipFiles('v2/train', 7, frames, (), 10.0, sources=names)
    check = ClassIdChecker(4, PALETTE, CLASSES)
    found = check.check_sources(str(tmp_path), clip)
    assert [
        f.what.startswith(text) for f, text in zip(found, told, strict=True)
    ] == [True] * len(told)
    assert all((f.kind, f.file, f.row) == ('stray', '0.png', 7) for f in found)
