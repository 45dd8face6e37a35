import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcpm.utils.errors import UsageError
from mmcpm.utils.io import (
    PartialFile,
    ensure_writable,
    sample_file,
    write_whole,
)


@pytest.mark.parametrize(
    'sample_id',
    ['__GOGlHL23s_4000_9000/0', '-apT0tfo6U_16000_26000/9', 'a.b/..c', 'clip'],
)
def test_sample_file_keeps_the_id(sample_id):
    assert sample_file('out', sample_id, '.png') == Path(
        'out', f'{sample_id}.png'
    )


@pytest.mark.parametrize(
    'sample_id',
    [
        '../clip/0',
        'clip/../../x',
        '/etc/passwd',
        'clip/',
        'a//b',
        '',
        '.',
        'clip/.',
        'a\\..\\b',
        'a\0b',
    ],
)
def test_sample_file_refuses_to_leave_the_folder(sample_id):
    with pytest.raises(ValueError, match='cannot name a file'):
        sample_file('out', sample_id, '.png')


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(['.', '..', '', 'a', '-b', '_', 'c..']),
        min_size=1,
        max_size=5,
    ).map('/'.join)
)
def test_accepted_ids_stay_inside(sample_id):
    try:
        path = sample_file('/base/out', sample_id, '.png')
    except ValueError:
        return
    assert os.path.normpath(path) == str(path)
    assert str(path).startswith('/base/out/')


def test_write_whole_makes_folders_and_ordinary_files(tmp_path):
    path = tmp_path / 'a' / 'b' / 'c.png'
    write_whole(path, b'one')
    write_whole(path, b'two')
    assert path.read_bytes() == b'two'
    assert list(path.parent.iterdir()) == [path]
    plain = tmp_path / 'plain'
    plain.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(
        plain.stat().st_mode
    )


def test_write_whole_leaves_other_files_alone(tmp_path):
    (tmp_path / '0.partial.png').write_bytes(b'another frame')
    write_whole(tmp_path / '0.png', b'frame')
    assert (tmp_path / '0.partial.png').read_bytes() == b'another frame'


def test_write_whole_leaves_the_old_file_if_it_fails(tmp_path, monkeypatch):
    path = tmp_path / 'a.png'
    write_whole(path, b'old')

    def full(*args):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('os.replace', full)
    with pytest.raises(OSError, match='No space'):
        write_whole(path, b'new')
    assert path.read_bytes() == b'old'
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / 'new/a.txt'

    def write_half(partial):
        # The suffix stays: it tells libraries the format.
        assert partial.endswith('.txt')
        assert not path.exists()
        Path(partial).write_text('half')
        raise OSError('pulled out')

    with pytest.raises(OSError, match='pulled out'):
        write_whole(path, write_half)
    assert list(path.parent.iterdir()) == []
    write_whole(path, lambda partial: Path(partial).write_text('whole'))
    assert [p.name for p in path.parent.iterdir()] == ['a.txt']
    assert path.read_text() == 'whole'


def test_ensure_writable_makes_the_folder(tmp_path):
    ensure_writable(tmp_path / 'a' / 'b', '--out')
    assert list((tmp_path / 'a' / 'b').iterdir()) == []


def test_ensure_writable_names_folder_and_option(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(UsageError, match=r'file/x.*Not a directory.*--out'):
        ensure_writable(tmp_path / 'file' / 'x', '--out')


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_whole_file_replaces_the_earlier_one(tmp_path):
    (tmp_path / 'a.json').write_text('earlier')
    (tmp_path / 'a.partial.json').write_text('earlier, too')
    file = PartialFile(tmp_path / 'a.json')
    file.path.write_text('new')
    assert file.path.name.startswith('.') and file.path.suffix == '.json'
    assert (tmp_path / 'a.json').read_text() == 'earlier'
    assert file.finish() == tmp_path / 'a.json'
    assert (tmp_path / 'a.json').read_text() == 'new'
    assert names(tmp_path) == ['a.json']


def test_part_is_kept_under_another_name(tmp_path):
    (tmp_path / 'a.mp4').write_text('earlier')
    file = PartialFile(tmp_path / 'a.mp4')
    file.path.write_text('part')
    assert file.keep() == tmp_path / 'a.partial.mp4'
    assert (tmp_path / 'a.mp4').read_text() == 'earlier'
    assert (tmp_path / 'a.partial.mp4').read_text() == 'part'


def test_nothing_is_left(tmp_path):
    file = PartialFile(tmp_path / 'new/a.mp4')
    file.discard()
    file.path.write_text('part')
    file.discard()
    assert names(tmp_path / 'new') == []
