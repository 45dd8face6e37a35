import pytest

from mmcpm.dataset_converters.common.destination import (
    Destination,
    Options,
)
from mmcpm.utils.errors import UsageError


@pytest.fixture
def source(tmp_path):
    (tmp_path / 'source').mkdir()
    return str(tmp_path / 'source')


def test_a_folder_may_hold_several_datasets(source, tmp_path):
    folder = str(tmp_path / 'dest')
    Destination(source, folder, 's4', Options()).begin()
    Destination(source, folder, 'ms3', Options(copy=True)).begin()
    with pytest.raises(UsageError, match='with copy True, not False'):
        Destination(source, folder, 'ms3', Options())


def test_index_files_come_last(source, tmp_path):
    destination = Destination(source, str(tmp_path / 'd'), 's4', Options())
    destination.begin()
    assert '"finished": false' in destination.marker.read_text()
    destination.finish({'x/a.csv': 'a,b\n'})
    assert '"finished": true' in destination.marker.read_text()
    assert (tmp_path / 'd/x/a.csv').read_text() == 'a,b\n'


def test_remains_are_only_removed_from_folders_of_this_program(
    source, tmp_path
):
    folder = tmp_path / 'd'
    Destination(source, str(folder), 's4', Options()).begin()
    (folder / 'a.partial-77.jpg').touch()
    (folder / 'a.jpg').touch()
    Destination(source, str(folder), 's4', Options()).begin()
    names = {path.name for path in folder.iterdir()}
    assert names == {'a.jpg', 'prepared_s4.json'}


def test_links_do_not_lead_into_the_source(source, tmp_path):
    (tmp_path / 'link').symlink_to(source, target_is_directory=True)
    for folder in ('link', 'link/inside'):
        with pytest.raises(UsageError, match='never changed'):
            Destination(source, str(tmp_path / folder), 's4', Options())


def test_a_file_in_the_way(source, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(UsageError, match='is no folder'):
        Destination(source, str(tmp_path / 'file'), 's4', Options())
