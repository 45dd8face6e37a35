import pytest

from mmcpm.dataset_converters.vpo_builder.annotations import (
    load_annotations,
    read_pictures,
)
from mmcpm.datasets.errors import DatasetIndexError, DatasetNotFoundError

CLASS_OF = {'Dog': 'dog', 'cat': 'cat'}


def read(root):
    path = root / 'coco.json'
    content = load_annotations(path)
    return read_pictures(content, path, root / 'images', CLASS_OF)


def test_pictures_hold_what_was_drawn(ingredients, boxes):
    pictures = read(ingredients.root)
    assert [p.number for p in pictures] == sorted(boxes)
    for picture in pictures:
        assert picture.path.is_file()
        assert (picture.height, picture.width) == (40, 80)
        drawn = [
            (name, box)
            for name, box in boxes[picture.number]
            if name != 'person'
        ]
        assert len(picture.instances) == len(drawn)
        for one, (name, (x, _, w, h)) in zip(
            picture.instances, drawn, strict=True
        ):
            assert one.crowd == (name == 'crowd')
            if not one.crowd:
                assert one.class_name == name.lower()
                assert one.area == w * h
                assert one.position == pytest.approx((x + w / 2) / 80)


def test_box_of_the_mask_stands_in_for_a_missing_one(ingredients, edit):
    expected = read(ingredients.root)
    edit(lambda coco: [a.pop('bbox') for a in coco['annotations']])
    found = read(ingredients.root)
    for a, b in zip(expected, found, strict=True):
        for one, other in zip(a.instances, b.instances, strict=True):
            # pycocotools draws polygons to a pixel of their border.
            assert one.position == pytest.approx(other.position, abs=1 / 80)


def test_position_stays_within_the_picture(ingredients, edit):
    edge = dict(segmentation=[[0, 4, 2, 4, 2, 16, 0, 16]], bbox=[-4, 4, 3, 12])
    edit(lambda coco: coco['annotations'][0].update(edge))
    assert read(ingredients.root)[0].instances[0].position == 0


def put(part, index, **values):
    return lambda coco: coco[part][index].update(values)


@pytest.mark.parametrize(
    ('change', 'told'),
    [
        (lambda c: c.pop('annotations'), 'annotations is not a list'),
        (lambda c: c['images'].append(3), 'images is not a list of dict'),
        (put('images', 3, id='4'), r"images\[3\] \(id '4'\)"),
        (put('images', 3, id=1), r'images\[0\] has this id already'),
        (put('images', 3, id=10**12), '12 digits'),
        (put('images', 3, file_name='../4.jpg'), "'../4.jpg' is no path"),
        (put('images', 3, file_name='/4.jpg'), 'is no path inside'),
        (put('images', 3, file_name='part/1.jpg'), r'images\[0\]'),
        (put('images', 3, height=0), r'images\[3\].*height 0'),
        (put('images', 3, width=None), 'width None'),
        (put('categories', 1, name=' '), r'categories\[1\].*name'),
        (put('annotations', 7, image_id=99), r'annotations\[7\].*99'),
        (put('annotations', 7, category_id=[2]), r'category_id \[2\]'),
        (put('annotations', 7, iscrowd=2), 'iscrowd 2'),
        (put('annotations', 6, bbox=[1, 2, 3]), r'bbox is \[1, 2, 3\]'),
        # The dog of picture 12 as left, top, right, bottom.
        (put('annotations', 33, bbox=[24, 4, 34, 16]), 'left, top, right'),
        (put('annotations', 6, segmentation=[[1, 2, 3, 4]]), '4 coord'),
    ],
)
def test_bad_entries_are_named_with_a_remedy(ingredients, edit, change, told):
    edit(change)
    with pytest.raises(DatasetIndexError, match=told) as caught:
        read(ingredients.root)
    assert 'coco.json' in str(caught.value)


def test_masks_of_silent_categories_are_not_read(ingredients, edit):
    edit(put('annotations', 2, segmentation='a person'))
    assert len(read(ingredients.root)) == 28


@pytest.mark.parametrize('text', ['{"images": [', '\xff', '[]', '3'])
def test_what_is_no_annotation_file_is_refused(tmp_path, text):
    path = tmp_path / 'coco.json'
    path.write_bytes(text.encode('latin1'))
    with pytest.raises(DatasetIndexError, match='instances_train2017'):
        load_annotations(path)
    with pytest.raises(DatasetNotFoundError, match=r'none\.json'):
        load_annotations(tmp_path / 'none.json')
