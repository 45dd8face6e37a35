import errno
import os
import socket
import subprocess

import pytest

from mmcpm.dataset_converters.common.folders import (
    DatasetFolderError,
    explain_os_error,
    remove_remains,
    replace_folder,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def partial(root, process):
    return root.with_name(
        f'.{root.name}.partial-{socket.gethostname()}-{process}'
    )


def ended_process():
    process = subprocess.Popen(['true'])
    process.wait()
    return process.pid


def test_folder_appears_whole(tmp_path):
    root = tmp_path / 'deep' / 'scenes'
    with replace_folder(root) as folder:
        (folder / 'a').write_text('1')
        assert not root.exists()
    assert names(root) == ['a']
    assert names(root.parent) == ['scenes']


def test_failure_leaves_nothing(tmp_path):
    root = tmp_path / 'scenes'
    with pytest.raises(KeyboardInterrupt), replace_folder(root) as folder:
        (folder / 'a').write_text('1')
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_what_was_there_is_replaced_only_at_the_end(tmp_path):
    root = tmp_path / 'scenes'
    root.mkdir()
    (root / 'old').write_text('1')
    with pytest.raises(ValueError), replace_folder(root):
        raise ValueError
    assert names(root) == ['old']
    with replace_folder(root) as folder:
        (folder / 'new').write_text('2')
        assert names(root) == ['old']
    assert names(root) == ['new']
    assert names(tmp_path) == ['scenes']


def test_what_appears_in_the_meantime_is_kept(tmp_path):
    root = tmp_path / 'scenes'
    with pytest.raises(OSError), replace_folder(root) as folder:
        (folder / 'mine').write_text('1')
        root.mkdir()
        (root / 'other').write_text('2')
    assert names(root) == ['other']
    assert names(tmp_path) == ['scenes']


def test_remains_of_an_ended_process_are_removed(tmp_path):
    root = tmp_path / 'scenes'
    remains = partial(root, ended_process())
    remains.mkdir()
    (remains / 'UNFINISHED').touch()
    assert remove_remains(root) == [remains]
    assert names(tmp_path) == []


@pytest.mark.parametrize('replaced', [True, False])
def test_a_kill_between_two_names_loses_nothing(tmp_path, replaced):
    root = tmp_path / 'scenes'
    remains = partial(root, ended_process())
    retired = remains.with_name(f'{remains.name}-old')
    retired.mkdir()
    (retired / 'old').write_text('1')
    if replaced:
        root.mkdir()
        (root / 'new').write_text('2')
    assert remove_remains(root) == [retired]
    assert names(tmp_path) == ['scenes']
    assert names(root) == ['new' if replaced else 'old']


@pytest.mark.parametrize('case', ['running', 'foreign host', 'not ours'])
def test_other_folders_are_left_alone(tmp_path, case):
    root = tmp_path / 'scenes'
    process = os.getppid() if case == 'running' else ended_process()
    remains = partial(root, process)
    if case == 'foreign host':
        remains = root.with_name(f'.scenes.partial-elsewhere-{process}')
    remains.mkdir()
    if case != 'not ours':
        (remains / 'UNFINISHED').touch()
    assert remove_remains(root) == []
    assert remains.is_dir()


@pytest.mark.parametrize(
    ('number', 'remedy'),
    [
        (errno.ENOSPC, 'disk or the quota is full'),
        (errno.EROFS, 'that you may write to'),
        (errno.EACCES, 'that you may write to'),
        (errno.ENOTDIR, 'choose another folder'),
        (errno.EIO, 'Check the disk'),
    ],
)
def test_errors_of_the_file_system_are_explained(tmp_path, number, remedy):
    with (
        pytest.raises(DatasetFolderError) as caught,
        explain_os_error(tmp_path),
    ):
        raise OSError(number, os.strerror(number), 'some/file')
    message = str(caught.value)
    assert remedy in message
    assert str(tmp_path) in message and 'some/file' in message
