"""Files that get their name when they are whole."""

from mmcpm.utils.partial_file import PartialFile


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
