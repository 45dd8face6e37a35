"""Files of a visitor go with the visitor."""

import pytest

from mmcpm.apis.web_demo.session_files import SessionFiles


@pytest.fixture
def files(tmp_path):
    (tmp_path / 'cache').mkdir()
    return SessionFiles(tmp_path / 'cache')


@pytest.fixture
def upload(files):
    """A function that puts a file where uploads go."""

    def write(name):
        path = files.folder / name / 'clip.mp4'
        path.parent.mkdir()
        path.write_text(name)
        return str(path)

    return write


def test_a_result_is_moved(files, tmp_path):
    (tmp_path / 'overlay.mp4').write_text('x')
    kept = files.keep(str(tmp_path / 'overlay.mp4'))
    assert not (tmp_path / 'overlay.mp4').exists()
    assert kept.startswith(str(files.folder))
    with open(kept) as file:
        assert file.read() == 'x'


def test_files_go_with_their_visitor(files, upload):
    for session in ('one', 'two'):
        files.own(session, upload(session), None)
    files.drop('one')
    assert [p.name for p in files.folder.iterdir()] == ['two']
    files.drop('two')
    files.drop('two')
    assert list(files.folder.iterdir()) == []


def test_a_shared_file_goes_with_the_last(files, upload):
    shared = upload('a')
    files.own('one', shared)
    files.own('two', shared)
    files.drop('one')
    assert (files.folder / 'a/clip.mp4').exists()
    files.drop('two')
    assert not (files.folder / 'a').exists()


def test_one_file_can_go_before(files, upload):
    first, second = upload('a'), upload('b')
    files.own('one', first, second)
    files.drop('one', first)
    assert [p.name for p in files.folder.iterdir()] == ['b']


def test_files_elsewhere_stay(files, tmp_path):
    sample = tmp_path / 'sample.mp4'
    sample.write_text('x')
    files.own('one', str(sample), str(files.folder / '../sample.mp4'))
    files.drop('one')
    files.drop('one', str(sample))
    assert sample.exists()
