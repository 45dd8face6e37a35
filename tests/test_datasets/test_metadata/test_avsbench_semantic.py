import json

import pytest

from mmcpm.datasets.errors import DatasetIndexError, DatasetNotFoundError
from mmcpm.datasets.metadata.avsbench_semantic import (
    Clip,
    check_clip_folders,
    check_data_root,
    check_label_index,
    check_selection,
    count_sources,
    read_metadata,
    read_text,
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


def test_byte_order_mark_is_ignored(tmp_path):
    file = tmp_path / 'metadata.csv'
    file.write_text('uid,a_obj,split,label\nx,a,val,v2\n', 'utf-8-sig')
    text = read_text(str(file), None)
    assert parse(text) == [Clip('x', 'val', 'v2', 'ss', ('a',))]


def test_binary_file_is_refused(tmp_path):
    file = tmp_path / 'metadata.csv'
    file.write_bytes(b'\xff\xfe\x00\x01\x80')
    with pytest.raises(DatasetIndexError, match='metadata.csv: expected a U'):
        read_text(str(file), None)


def test_missing_column_is_named():
    with pytest.raises(DatasetIndexError) as error:
        parse('vid,uid,s_min,s_sec,a_obj,split\nx,x,0,0,a,val\n')
    message = str(error.value)
    assert 'meta.csv: column label is missing' in message
    assert 'vid, uid, s_min, s_sec, a_obj, split.' in message


def test_semicolons_and_empty_files_are_missing_columns():
    with pytest.raises(DatasetIndexError, match='uid, a_obj, split, label'):
        parse(HEADER.replace(',', ';'))
    with pytest.raises(DatasetIndexError, match='names no columns'):
        parse('')


@pytest.mark.parametrize(
    ('row', 'match'),
    [
        ('x,x,0,0,a,valid,v2', r"line 3 \(uid 'x'\): unknown split 'valid'"),
        ('x,x,0,0,a,val,v3', r"line 3 \(uid 'x'\): unknown label 'v3'; "),
        # The end of a file whose download stopped.
        ('x,x,0,0', r"line 3 \(uid 'x'\): unknown split ''"),
        ('x,,0,0,a,val,v2', "line 3: uid '' cannot be the name"),
        ('x,../x,0,0,a,val,v2', r"line 3: uid '\.\./x' cannot be the name"),
    ],
)
def test_bad_row_is_named_with_its_line(row, match):
    good = 'y,y,0,0,a,val,v2\n'
    with pytest.raises(DatasetIndexError, match=f'^meta.csv, {match}'):
        parse(HEADER + good + row + '\n')


def test_csv_fault_is_named_with_its_line():
    with pytest.raises(DatasetIndexError, match='after line 1: field larger'):
        parse(HEADER + 'x' * 200_000)
    with pytest.raises(DatasetIndexError, match='after line 0: field larger'):
        parse('x' * 200_000)


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


def test_missing_relative_root_names_the_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetNotFoundError) as error:
        check_data_root('data/AVSS', [])
    message = str(error.value)
    assert f'No data root at {tmp_path}/data/AVSS' in message
    assert "data_root='data/AVSS' under the current directory" in message
    assert '--data-root DIR (tools/train.py, tools/test.py)' in message


def test_missing_index_file_tells_what_is_there(tmp_path):
    (tmp_path / 's4_meta_data.csv').touch()
    with pytest.raises(DatasetNotFoundError) as error:
        check_data_root(str(tmp_path), [str(tmp_path / 'metadata.csv')])
    message = str(error.value)
    assert f'No file {tmp_path}/metadata.csv' in message
    assert 'it holds s4_meta_data.csv.' in message
    assert 'Did you mean' not in message


def test_root_one_level_too_high_is_recognized(tmp_path):
    (tmp_path / 'avsbench_semantic').mkdir()
    (tmp_path / 'avsbench_semantic' / 'metadata.csv').touch()
    with pytest.raises(
        DatasetNotFoundError,
        match=f'Did you mean {tmp_path}/avsbench_semantic\\?',
    ):
        check_data_root(str(tmp_path), [str(tmp_path / 'metadata.csv')])


def test_missing_subset_folder_is_named(tmp_path):
    (tmp_path / 'v1s' / 'a').mkdir(parents=True)
    with pytest.raises(DatasetNotFoundError) as error:
        check_clip_folders(str(tmp_path), CLIPS)
    message = str(error.value)
    assert f'No folder {tmp_path}/v2, which holds 2 clips' in message
    assert "dataset's argument subset" in message


def test_missing_clips_are_counted_and_five_are_listed(tmp_path):
    (tmp_path / 'v2').mkdir()
    clips = [Clip(str(i), 'train', 'v2', 'ss') for i in range(8)]
    (tmp_path / 'v2' / '3').mkdir()
    with pytest.raises(DatasetNotFoundError) as error:
        check_clip_folders(str(tmp_path), clips)
    message = str(error.value)
    assert '7 of 8 clip folders are missing' in message
    assert ': v2/0, v2/1, v2/2, v2/4, v2/5 and 2 more. Unpack' in message


def test_whole_layout_passes(tmp_path):
    for clip in CLIPS:
        (tmp_path / clip.subset / clip.uid).mkdir(parents=True)
    file = tmp_path / 'metadata.csv'
    file.touch()
    check_data_root(str(tmp_path), [str(file)])
    check_clip_folders(str(tmp_path), CLIPS)


@pytest.mark.parametrize('address', ['file:///data/x.csv', 'ftp://a/x.csv'])
def test_an_address_that_no_backend_reads_is_told(address):
    with pytest.raises(DatasetNotFoundError, match='no storage backend named'):
        read_text(address, None)
