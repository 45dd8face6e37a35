import json

import pytest

from mmcpm.datasets.errors import DatasetIndexError
from mmcpm.datasets.metadata.avsbench_semantic import (
    Clip,
    check_label_index,
    check_selection,
    count_sources,
    read_metadata,
    recording_of,
    sounding_names,
)

HEADER = 'vid,uid,s_min,s_sec,a_obj,split,label\n'
SUBSETS = ('v1s', 'v1m', 'v2')


def parse(text):
    return read_metadata(text, 'meta.csv', SUBSETS)


@pytest.mark.parametrize(
    ('a_obj', 'expected'),
    [
        ('bird', 'ss'),
        ('emergency-car', 'ss'),
        ('h orse', 'ss'),
        ('background', 'ss'),
        ('off-the-screen', 'ss'),
        ('man_guitar', 'ms'),
        ('off-the-screen_man', 'ms'),
        ('man_woman_boy_girl_baby', 'ms'),
    ],
)
def test_sources_are_counted_by_names(a_obj, expected):
    assert count_sources(a_obj) == expected


def test_published_rows_are_parsed():
    clips = parse(
        HEADER
        + '__GOGlHL23s,__GOGlHL23s_4000_9000,0,4,bird,val,v1s\n'
        + '-apT0tfo6U,-apT0tfo6U_16000_26000,0,16,guitar_man,train,v2\n'
    )
    assert clips == [
        Clip('__GOGlHL23s_4000_9000', 'val', 'v1s', 'ss', ('bird',)),
        Clip('-apT0tfo6U_16000_26000', 'train', 'v2', 'ms', ('guitar', 'man')),
    ]


@pytest.mark.parametrize(
    ('a_obj', 'names'),
    [
        ('man_guitar', ('man', 'guitar')),
        ('h orse', ('horse',)),
        ('Dog_dog_', ('dog',)),
        ('emergency-car', ('emergency-car',)),
        ('off-the-screen_man', ('off-the-screen', 'man')),
        ('', ()),
    ],
)
def test_names_of_what_sounds(a_obj, names):
    assert sounding_names(a_obj) == names


@pytest.mark.parametrize(
    ('uid', 'video'),
    [
        ('-apT0tfo6U_16000_26000', '-apT0tfo6U'),
        ('__GOGlHL23s_4000_9000', '__GOGlHL23s'),
        ('m1_0', 'm1'),
        ('abc', 'abc'),
        ('_1_2', '_1'),
        ('a_b', 'a_b'),
    ],
)
def test_clips_of_a_video_name_it(uid, video):
    assert recording_of(uid) == video


def test_columns_are_found_by_name():
    clips = parse('label,split,extra,uid,a_obj\nv1m,test,7,x_0,man_dog\n')
    assert clips == [Clip('x_0', 'test', 'v1m', 'ms', ('man', 'dog'))]


def test_blank_lines_and_quotes_are_read():
    clips = parse(HEADER + '\nx,"x_0",0,0,"man_dog","test","v1m"\n\n')
    assert clips == [Clip('x_0', 'test', 'v1m', 'ms', ('man', 'dog'))]


def test_missing_column_is_named():
    with pytest.raises(DatasetIndexError) as error:
        parse('vid,uid,s_min,s_sec,a_obj,split\nx,x,0,0,a,val\n')
    message = str(error.value)
    assert 'meta.csv: column label is missing' in message
    assert 'vid, uid, s_min, s_sec, a_obj, split.' in message


def test_semicolons_are_read():
    assert parse((HEADER + 'x,x_0,0,0,a,val,v2').replace(',', ';')) == [
        Clip('x_0', 'val', 'v2', 'ss', ('a',))
    ]


@pytest.mark.parametrize(
    ('row', 'match'),
    [
        ('x,x,0,0,a,valid,v2', r"line 3 \(uid 'x'\): unknown split 'valid'"),
        ('x,x,0,0,a,val,v3', r"line 3 \(uid 'x'\): unknown label 'v3'; "),
        # The end of a file whose download stopped.
        ('x,x,0,0', 'line 3: 4 cells, separated by commas'),
        ('x,,0,0,a,val,v2', "line 3: uid '' cannot be the name"),
        ('x,../x,0,0,a,val,v2', r"line 3: uid '\.\./x' cannot be the name"),
    ],
)
def test_bad_row_is_named_with_its_line(row, match):
    good = 'y,y,0,0,a,val,v2\n'
    with pytest.raises(DatasetIndexError, match=f'^meta.csv, {match}'):
        parse(HEADER + good + row + '\n')


CLASSES = ('background', 'dog', 'cat')


def check(index):
    check_label_index(json.dumps(index), 'l.json', CLASSES, 'Pets')


@pytest.mark.parametrize('first', [0, 1])
def test_label_index_may_count_from_zero_or_one(first):
    check({name: i for i, name in enumerate(CLASSES, first)})


def test_label_index_of_another_number_of_classes_is_refused():
    with pytest.raises(DatasetIndexError) as error:
        check({'background': 1, 'dog': 2})
    message = str(error.value)
    assert 'l.json lists 2 classes, Pets has 3' in message
    assert 'Not in the file: cat; not in Pets: nothing' in message
    assert 'Use the dataset' in message


def test_label_index_with_other_names_is_refused():
    with pytest.raises(DatasetIndexError) as error:
        check({'background': 1, 'dog': 2, 'kitten': 3})
    assert 'Not in the file: cat; not in Pets: kitten.' in str(error.value)


def test_label_index_in_another_order_is_refused():
    with pytest.raises(DatasetIndexError) as error:
        check({'background': 1, 'cat': 2, 'dog': 3})
    message = str(error.value)
    assert "gives class 'dog' the id 2" in message
    assert 'Pets gives it 1' in message


@pytest.mark.parametrize('text', ['{"a": 1', '[1, 2]', '{"a": "b"}', '{}'])
def test_label_index_that_is_no_index_is_refused(text):
    with pytest.raises(DatasetIndexError, match='l.json: expected a JSON obj'):
        check_label_index(text, 'l.json', CLASSES, 'Pets')


CLIPS = [
    Clip('a', 'train', 'v1s', 'ss'),
    Clip('b', 'train', 'v2', 'ms'),
    Clip('c', 'val', 'v2', 'ms'),
]


def test_empty_selection_tells_what_there_is():
    with pytest.raises(DatasetIndexError) as error:
        check_selection([], CLIPS, 'meta.csv', "split='test'")
    message = str(error.value)
    assert "meta.csv: no clip with split='test'. Its 3 rows are" in message
    assert 'train/v1s/ss: 1, train/v2/ms: 1, val/v2/ms: 1.' in message


def test_repeated_uid_is_refused():
    twice = [CLIPS[1], CLIPS[1], CLIPS[0]]
    with pytest.raises(DatasetIndexError, match='named by the uid: b. Remove'):
        check_selection(twice, CLIPS, 'meta.csv', "split='train'")
