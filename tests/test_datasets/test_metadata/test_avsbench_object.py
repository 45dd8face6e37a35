import pytest

from mmcpm.datasets.errors import DatasetIndexError
from mmcpm.datasets.metadata.avsbench_object import read_object_metadata


def read(text, subset='s4'):
    return read_object_metadata(text, 'meta.csv', subset)


@pytest.mark.parametrize(
    'header',
    [
        'name,start,category,split',
        'video_id,s_min,category,split',
        # Positions count where nothing has the name.
        ',a,b,c',
    ],
)
def test_s4_rows_are_read(header):
    clips = read(
        f'{header}\n-x_1,3,dog_barking,train\ny,0,horse_clip-clop,val\n'
    )
    assert [clip[:3] for clip in clips] == [
        ('-x_1', 'dog_barking', 'train'),
        ('y', 'horse_clip-clop', 'val'),
    ]
    assert [clip.uid for clip in clips] == [
        'dog_barking/-x_1',
        'horse_clip-clop/y',
    ]
    assert [clip.line for clip in clips] == [2, 3]


def test_named_columns_may_stand_elsewhere():
    clips = read('name,split,x,category\na,test,9,cat\n')
    assert clips[0][:3] == ('a', 'cat', 'test')


def test_lost_column_is_not_taken_for_another():
    with pytest.raises(DatasetIndexError, match='name, start, split'):
        read('name,start,split\na,0,train\n')


def test_a_file_without_header_loses_no_clip():
    clips = read('a,0,cat,train\nb,0,cat,test\n')
    assert [clip.name for clip in clips] == ['a', 'b']
    assert [clip.line for clip in clips] == [1, 2]
    assert read('m_0,val\n', 'ms3')[0][:3] == ('m_0', '', 'val')


def test_ms3_rows_are_read():
    clips = read('video_id;split\nx_0;train\nx_1;test\n', 'ms3')
    assert [clip.uid for clip in clips] == ['x_0', 'x_1']
    assert [clip.split for clip in clips] == ['train', 'test']


@pytest.mark.parametrize(
    ('text', 'subset', 'match'),
    [
        ('a|b|c|d\n1|2|3|4\n', 's4', r'has 1 column.*s4_meta_data'),
        ('video_id,split\na,val\n', 's4', r'has 2 column\(s\), video_id'),
        ('n,s\na,valid\n', 'ms3', r"meta.csv, line 2 \('a'\): .*'valid'"),
        ('n,s\n../a,val\n', 'ms3', "line 2: clip name '../a'"),
        ('n,s,c,split\na,0,,val\n', 's4', "line 2: category ''"),
        ('n,s\na,val\nb,val\na,val\n', 'ms3', "'a' stands in the lines 2, 4"),
    ],
)
def test_bad_files_are_refused(text, subset, match):
    with pytest.raises(DatasetIndexError, match=match):
        read(text, subset)


def test_a_name_in_two_categories_is_two_clips():
    assert len(read('n,s,category,split\na,0,x,val\na,0,y,val\n')) == 2


def test_clips_in_two_splits_are_told(monkeypatch):
    told = []
    monkeypatch.setattr(
        'mmcpm.datasets.metadata.avsbench_object.print_log',
        lambda text, **_: told.append(text),
    )
    assert len(read('n,s\na,train\nb,test\n', 'ms3')) == 2
    assert not told
    assert len(read('n,s\na,train\na,test\n', 'ms3')) == 2
    assert len(told) == 1 and 'a (lines 2 and 3)' in told[0]
