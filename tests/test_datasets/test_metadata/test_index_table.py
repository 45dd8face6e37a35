import pytest

from mmcpm.datasets.errors import DatasetIndexError, DatasetNotFoundError
from mmcpm.datasets.metadata.index_table import (
    check_name,
    check_present,
    check_root,
    find_columns,
    find_missing_files,
    read_table,
    read_text,
)


@pytest.mark.parametrize('delimiter', [',', ';', '\t'])
@pytest.mark.parametrize('end', ['\n', '\r\n'])
def test_a_table_of_any_usual_delimiter_is_read(delimiter, end):
    text = end.join(('a,b,c', '1, two ,3', '', ',,', '4,,6', ''))
    rows = read_table(text.replace(',', delimiter), 'x.csv')
    assert [row.cells for row in rows] == [
        ['a', 'b', 'c'],
        ['1', 'two', '3'],
        ['4', '', '6'],
    ]
    assert [row.line for row in rows] == [1, 2, 5]


def test_quoted_cells_may_hold_the_delimiter():
    assert read_table('a,b\n"[1, 2]",x\n', 'x.csv')[1].cells == ['[1, 2]', 'x']


@pytest.mark.parametrize(
    ('text', 'match'),
    [
        ('', r'x.csv is empty \(0 characters'),
        ('\n , \n', 'x.csv is empty'),
        ('a,b\n1,2\n3\n', 'x.csv, line 3: 1 cells, separated by commas'),
        ('a;b\n1;2;3\n', 'line 2: 3 cells, separated by semicolons'),
        ('a,b\n1,"2' + 'x' * 200_000, 'x.csv, after line'),
    ],
)
def test_what_is_no_table_is_refused(text, match):
    with pytest.raises(DatasetIndexError, match=match):
        read_table(text, 'x.csv')


def test_columns_are_found_by_name():
    assert find_columns(['c', 'a', 'b'], ['a', 'c'], 'x.csv', '') == [1, 0]
    with pytest.raises(DatasetIndexError) as error:
        find_columns(['a', 'b'], ['d', 'a', 'e'], 'x.csv', 'Do this.')
    assert str(error.value) == (
        'x.csv: column d, e is missing; the first row names a, b. Do this.'
    )


@pytest.mark.parametrize('name', ['', '.', '..', 'a/b', '../a', 'a\\b'])
def test_names_cannot_leave_their_folder(name):
    with pytest.raises(DatasetIndexError, match='x.csv, line 3: uid '):
        check_name(name, 'uid', 'x.csv, line 3')
    check_name('-a..b c', 'uid', 'x.csv, line 3')


def test_missing_root_and_index_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetNotFoundError) as error:
        check_root('data', ['x.csv'], 'x.csv and y/')
    message = str(error.value)
    assert f"No data root at {tmp_path / 'data'} (data_root='data'" in message
    assert 'holds x.csv and y/' in message and '--data-root' in message
    (tmp_path / 'data' / 'inner').mkdir(parents=True)
    with pytest.raises(DatasetNotFoundError, match='it holds inner'):
        check_root('data', ['x.csv'], 'x.csv')
    (tmp_path / 'data' / 'inner' / 'x.csv').touch()
    with pytest.raises(DatasetNotFoundError, match='Did you mean .*/inner'):
        check_root('data', ['x.csv'], 'x.csv')
    check_root('data/inner', ['x.csv'], 'x.csv')


def test_missing_folders_are_counted_and_links_are_followed(tmp_path):
    for name in 'abc':
        (tmp_path / name).mkdir()
    (tmp_path / 'link').symlink_to(tmp_path / 'a')
    paths = [str(tmp_path / name) for name in ('a', 'b', 'link')]
    check_present(paths, 'folders', 'Help.')
    lost = [str(tmp_path / f'{i}') for i in range(7)]
    with pytest.raises(DatasetNotFoundError) as error:
        check_present(paths + lost + lost, 'folders', 'Help.')
    assert str(error.value) == (
        f'7 of 10 folders are missing: {", ".join(lost[:5])} and 2 more. Help.'
    )


def test_missing_files_are_found_by_folder(tmp_path):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a/1').touch()
    paths = [str(tmp_path / name) for name in ('b/1', 'a/2', 'a/1', 'a/2')]
    assert find_missing_files(paths) == [paths[1], paths[0]]


def test_byte_order_mark_is_ignored(tmp_path):
    file = tmp_path / 'x.csv'
    file.write_text('a,b', 'utf-8-sig')
    assert read_text(str(file), None) == 'a,b'


def test_binary_file_is_refused(tmp_path):
    file = tmp_path / 'x.csv'
    file.write_bytes(b'\xff\xfe\x00\x01\x80')
    with pytest.raises(DatasetIndexError, match='x.csv: expected a U'):
        read_text(str(file), None)


def test_another_dataset_is_recognized(tmp_path):
    (tmp_path / 's4_meta_data.csv').touch()
    with pytest.raises(DatasetNotFoundError) as error:
        check_root(str(tmp_path), ['metadata.csv'], 'x')
    message = str(error.value)
    assert f'No file {tmp_path}/metadata.csv' in message
    assert 'it holds s4_meta_data.csv. This looks like AVSBench-O' in message
    with pytest.raises(DatasetNotFoundError) as error:
        check_root(str(tmp_path), ['ms3_meta_data.csv'], 'x')
    assert 'This looks' not in str(error.value)


@pytest.mark.parametrize('address', ['file:///data/x.csv', 'ftp://a/x.csv'])
def test_an_address_that_no_backend_reads_is_told(address):
    with pytest.raises(DatasetNotFoundError, match='no storage backend named'):
        read_text(address, None)
