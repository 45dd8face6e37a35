import pytest

from mmcpm.dataset_converters.checking.clip_files import ClipFiles
from mmcpm.dataset_converters.checking.clips import find_extra, find_gap


@pytest.fixture
def root(tmp_path):
    """a/1/x.jpg, a/1/y.jpg, a/2/x.jpg and b/x.jpg."""
    for name in ('a/1/x.jpg', 'a/1/y.jpg', 'a/2/x.jpg', 'b/x.jpg'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b'123')
    return tmp_path


def extra(root, expected, folders=('a',), known=()):
    found = find_extra(str(root), folders, expected, set(known).__contains__)
    return {(f.file, f.what) for f in found}


def test_paths_of_a_clip():
    clip = ClipFiles('x', 2, (('f0', 'l0'), ('f1', None)), ('s',), 5)
    assert clip.paths == ['f0', 'l0', 'f1', 's']


def test_extra_files_and_folders(root):
    assert extra(root, ['a/1/x.jpg']) == {
        ('a/1/y.jpg', '3 bytes'),
        ('a/2', 'a folder with 1 entries'),
    }
    # What lies beside the folders is not looked at.
    assert extra(root, ['a/1/x.jpg', 'a/1/y.jpg', 'a/2/x.jpg']) == set()


def test_known_names_and_leftovers_are_not_extra(root):
    for name in ('.DS_Store', '._x.jpg', 'Thumbs.db'):
        (root / 'a' / name).touch()
    assert extra(root, ['a/1/x.jpg'], known=('2', 'y.jpg')) == set()


def test_links(root):
    (root / 'a/1/lost').symlink_to('nowhere')
    (root / 'a/1/whole').symlink_to('x.jpg')
    found = extra(root, ['a/1/x.jpg', 'a/1/y.jpg', 'a/2/x.jpg'])
    assert found == {('a/1/lost', 'a broken link'), ('a/1/whole', '3 bytes')}


def test_a_folder_that_links_to_itself(root):
    (root / 'a/1/loop').symlink_to(root / 'a', target_is_directory=True)
    found = extra(root, ['a/1/x.jpg', 'a/1/y.jpg', 'a/2/x.jpg'])
    assert found == {('a/1/loop', 'a folder with 2 entries')}


def test_thousands_of_extra_files(root):
    for number in range(3000):
        (root / f'a/1/{number}.tmp').touch()
    assert len(extra(root, ['a/1/x.jpg', 'a/1/y.jpg', 'a/2/x.jpg'])) == 3000


def test_the_first_gap_is_told(root):
    (root / 'lost').symlink_to('nowhere')
    assert find_gap(str(root), 'a/1') is None
    assert find_gap(str(root), '') is None
    found = find_gap(str(root), 'a/3/deep/deeper')
    assert found == ('missing', 'a/3', 'no such folder')
    assert find_gap(str(root), 'lost/x')[:2] == ('link', 'lost')
    assert 'something of that name' in find_gap(str(root), 'b/x.jpg/y')[2]
