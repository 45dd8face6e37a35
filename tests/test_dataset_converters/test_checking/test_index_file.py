import pytest

from mmcpm.dataset_converters.checking.index_file import (
    as_text,
    find_repetitions,
    parse_rows,
    read_index_file,
)
from mmcpm.datasets.metadata.avsbench_semantic import read_metadata

HEADER = 'uid,a_obj,split,label'


@pytest.fixture
def read(tmp_path):
    """Write and read an index file."""

    def write_and_read(content, **kwargs):
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / 'a.csv').write_bytes(data)
        return read_index_file(str(tmp_path), 'a.csv', **kwargs)

    return write_and_read


def reader(text, path):
    return read_metadata(text, path, ('v1s', 'v2'))


def test_a_good_file(read):
    index = read(f'\ufeff{HEADER}\r\na, dog ,train,v1s\n\nb,cat,val,v2\n')
    assert index.findings == []
    assert index.header == HEADER.split(',')
    assert [row.line for row in index.rows] == [2, 4]
    assert index.rows[0].cells == ['a', 'dog', 'train', 'v1s']


@pytest.mark.parametrize('delimiter', [';', '\t'])
def test_other_delimiters_are_a_note(delimiter, read):
    text = f'{HEADER}\na,dog,train,v1s\n'.replace(',', delimiter)
    (note,) = read(text).findings
    assert note.kind == 'delimiter' and not note.is_fault
    assert read(text).rows[0].cells == ['a', 'dog', 'train', 'v1s']


def test_all_bad_rows_are_told_not_the_first_alone(read):
    index = read(
        f'{HEADER}\n'
        'a,dog,train,v1s\n'
        'b,dog,holdout,v1s\n'
        'c,dog\n'
        'd,dog,test,v3\n'
        'e/f,dog,test,v2\n'
        'g,dog,test,v2\n'
    )
    records = parse_rows(index, reader)
    assert [(line, clip.uid) for line, clip in records] == [(2, 'a'), (7, 'g')]
    told = {finding.row: finding.what for finding in index.findings}
    assert sorted(told) == [3, 4, 5, 6]
    # The line, which is that of a file of one row, is not told twice.
    assert told[3].startswith("(uid 'b'): unknown split 'holdout'")
    assert told[4] == '2 cells where the first row has 4'
    assert 'line' not in told[5] + told[6]
    assert {'b', 'c', 'd', 'e/f'} <= index.bad_cells
    assert 'g' not in index.bad_cells


def test_a_torn_quotation(read):
    index = read(f'{HEADER}\na,dog,train,v1s\nb,"dog,train,v1s\n')
    assert [finding.kind for finding in index.findings] == ['row']
    assert [row.cells[0] for row in index.rows] == ['a']


@pytest.mark.parametrize('content', ['', '\n\n', ' , \n'])
def test_an_empty_file(content, read):
    index = read(content)
    assert [f.what for f in index.findings] == ['it has no rows']
    assert parse_rows(index, reader) == []


def test_other_encodings(read):
    text = f'{HEADER}\nä,dog,train,v1s\n'
    for encoding in ('latin-1', 'utf-16'):
        index = read(text.encode(encoding))
        assert [f.kind for f in index.findings] == ['index']
        assert index.rows[0].cells[0] == 'ä'


def test_a_file_without_names_of_columns(read):
    index = read('a,train\nb,val\n', is_header=lambda cells: False)
    assert index.header == []
    assert [row.line for row in index.rows] == [1, 2]


def test_text_keeps_what_was_read(read):
    rows = [['a', 'x,y'], ['b', 'say "so"']]
    index = read(as_text(rows))
    assert [index.header, index.rows[0].cells] == rows


def test_repetitions():
    rows = [(2, 'a', 'train'), (3, 'b', 'val'), (4, 'a', 'train')]
    rows += [(5, 'b', 'test'), (6, 'c', 'test'), (7, 'a', 'train')]
    assert [tuple(f) for f in find_repetitions('a.csv', rows)] == [
        (
            'repeated',
            'a.csv',
            'a stands in the lines 2 (train), 4 (train), 7 (train)',
            4,
        ),
        ('splits', 'a.csv', 'b stands in the lines 3 (val), 5 (test)', 5),
    ]
