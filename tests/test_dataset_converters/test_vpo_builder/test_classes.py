import json

import pytest

from mmcpm.dataset_converters.vpo_builder.classes import (
    CLASSES,
    VGGSOUND_LABELS,
    class_named,
    match_by_name,
    read_class_map,
)
from mmcpm.datasets.errors import DatasetIndexError, DatasetNotFoundError

CATEGORIES = ['dog', 'moped', 'cell phone', 'person']
LABELS = ['dog barking', 'driving motorcycle', 'Cell_Phone', 'thunder']


def test_every_class_of_vpo_has_labels_of_vggsound():
    assert tuple(VGGSOUND_LABELS) == CLASSES
    assert len(CLASSES) == 21
    labels = [label for of in VGGSOUND_LABELS.values() for label in of]
    assert len(labels) == len(set(labels))


@pytest.mark.parametrize(
    ('name', 'found'),
    [
        ('Cell_Phone', 'cell phone'),
        ('sports-ball', 'sports ball'),
        ('aeroplane', 'airplane'),
        ('Woman', 'female'),
        ('person', None),
        ('background', None),
    ],
)
def test_names_are_compared_without_their_spelling(name, found):
    assert class_named(name) == found


def test_categories_and_recordings_are_matched_by_name():
    found = match_by_name(CATEGORIES, LABELS)
    assert found.class_of == {'dog': 'dog', 'cell phone': 'cell phone'}
    # Nothing of the annotations sounds like a motorcycle.
    assert found.heard_as == {
        'dog barking': 'dog',
        'Cell_Phone': 'cell phone',
    }


def test_names_without_a_match_ask_for_a_map():
    with pytest.raises(DatasetIndexError, match='person.*thunder.*category'):
        match_by_name(['person'], ['thunder'])


def test_any_list_of_classes_may_be_matched():
    classes = ['Moped', 'cell-phone', 'man', 'dog']
    assert class_named('MOPED', classes) == 'Moped'
    assert class_named('cell phone', classes) == 'cell-phone'
    # VPO's name of it is male.
    assert class_named('man', classes) == 'man'
    assert class_named('male', classes) is None
    assert class_named('zebra', classes) is None
    found = match_by_name(
        ['moped', 'dog', 'zebra'], ['Moped', 'dog barking'], classes
    )
    assert found.class_of == {'moped': 'Moped', 'dog': 'dog'}
    # VGGSound's labels stay known for the classes that VPO has, too.
    assert found.heard_as == {'Moped': 'Moped', 'dog barking': 'dog'}


def test_maps_may_name_classes_of_any_list(tmp_path):
    path = tmp_path / 'm.csv'
    path.write_text('category,recording,class\nmoped,thunder,storm\n')
    found = read_class_map(path, CATEGORIES, LABELS, ['storm'])
    assert found == ({'moped': 'storm'}, {'thunder': 'storm'})
    with pytest.raises(DatasetIndexError, match='they are rain.*--classes'):
        read_class_map(path, CATEGORIES, LABELS, ['rain'])


JSON_MAP = {
    'dog': 'dog barking',
    'moped': {'class': 'motorcycle', 'recordings': ['driving motorcycle']},
}
CSV_MAP = (
    'category;recording;class\n'
    'dog;dog barking;\n'
    'moped;driving motorcycle;motorcycle\n'
)


@pytest.mark.parametrize(
    ('name', 'text'),
    [('map.json', json.dumps(JSON_MAP)), ('map.csv', CSV_MAP)],
)
def test_map_files_replace_the_names(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    found = read_class_map(path, CATEGORIES, LABELS)
    assert found.class_of == {'dog': 'dog', 'moped': 'motorcycle'}
    assert found.heard_as == {
        'dog barking': 'dog',
        'driving motorcycle': 'motorcycle',
    }


@pytest.mark.parametrize(
    ('name', 'text', 'told'),
    [
        ('m.csv', 'category,recording\ndoge,dog barking', "2: 'doge' is no"),
        ('m.csv', 'category,recording\ndog,bark', "line 2: 'bark' is no lab"),
        ('m.csv', 'category,recording\nmoped,thunder', "'moped' is no class"),
        ('m.csv', 'category,sound\ndog,thunder', 'column recording is miss'),
        ('m.csv', 'category,recording', 'maps nothing'),
        (
            'm.csv',
            'category,recording\ndog,thunder\ncell phone,thunder',
            "line 3: 'thunder' belongs to 'dog' already",
        ),
        ('m.json', '{"dog": ["thunder"], ', 'no JSON file'),
        ('m.json', '["dog"]', 'a list arrived'),
        ('m.json', '{"dog": []}', "entry 'dog'"),
        ('m.json', '{"dog": {"class": 3, "recordings": "thunder"}}', 'entry'),
        ('m.json', '{"dog": "bark"}', "entry 'dog': 'bark' is no label"),
    ],
)
def test_bad_maps_are_refused_with_their_place(tmp_path, name, text, told):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DatasetIndexError, match=told) as caught:
        read_class_map(path, CATEGORIES, LABELS)
    assert name in str(caught.value)


def test_missing_map_tells_what_one_looks_like(tmp_path):
    with pytest.raises(DatasetNotFoundError, match='column'):
        read_class_map(tmp_path / 'none.csv', CATEGORIES, LABELS)
