"""Disks that are full or cannot be written to."""

import contextlib
import errno
import os
import subprocess
from pathlib import Path

import pytest
import torch

from mmcpm.engine.checkpoint_files import is_whole_checkpoint

# Nothing but training: a checkpoint of some 42 MiB per epoch.
ONLY_TRAIN = ('val_dataloader=None', 'val_cfg=None', 'val_evaluator=None')


def test_disk_fills_up_in_the_second_epoch(tools, small_disk, tmp_path):
    with small_disk(tmp_path / 'disk', 60) as disk:
        work_dir = str(disk / 'work')
        message = tools.refuses(
            'train',
            'train_cfg.max_epochs=2',
            *ONLY_TRAIN,
            work_dir=work_dir,
            begun=True,
        )
        assert f'{work_dir}/epoch_2.pth could not be saved' in message
        assert 'MiB needed' in message and 'MiB free' in message
        assert 'Earlier checkpoints are unharmed' in message
        assert 'continue with --resume' in message
        checkpoints = list(disk.rglob('*.pth'))
        assert [path.name for path in checkpoints] == ['epoch_1.pth']
        assert is_whole_checkpoint(checkpoints[0])
        # What the message says: make room, then continue.
        remount = ['mount', '-o', 'remount,size=200m', disk]
        subprocess.run(remount, check=True)
        tools.train(
            'train_cfg.max_epochs=2',
            *ONLY_TRAIN,
            work_dir=work_dir,
            resume='auto',
        )
        saved = torch.load(disk / 'work/epoch_2.pth', weights_only=True)
        assert saved['meta']['epoch'] == 2


def test_disk_has_no_room_for_a_checkpoint(tools, small_disk, tmp_path):
    with small_disk(tmp_path / 'disk', 5) as disk:
        message = tools.refuses('train', work_dir=str(disk / 'work'))
        assert 'too little for a single checkpoint' in message
        assert 'choose another --work-dir' in message


def test_disk_is_full(tools, small_disk, tmp_path):
    with small_disk(tmp_path / 'disk', 1) as disk:
        with contextlib.suppress(OSError):
            (disk / 'filler').write_bytes(bytes(1 << 21))
        message = tools.refuses('train', work_dir=str(disk / 'work'))
        assert f'cannot write to {disk}/work (No space left' in message


def test_disk_fills_up_with_label_maps(tools, small_disk, tmp_path, weights):
    with small_disk(tmp_path / 'disk', 1) as disk:
        # Leaves room for 17 of 20 files, each of a page.
        (disk / 'filler').write_bytes(bytes((1 << 20) - 17 * 4096))
        message = tools.refuses(
            'test',
            weights,
            'test_dataloader.dataset.indices=20',
            out=str(disk / 'maps'),
            begun=True,
        )
        assert 'the disk or the quota is full' in message
        assert not [p for p in disk.rglob('*') if 'partial' in p.name]


def test_disk_is_read_only(tools, small_disk, tmp_path):
    with small_disk(tmp_path / 'disk', 1, ',ro') as disk:
        message = tools.refuses('train', work_dir=str(disk / 'work'))
        assert f'cannot write to {disk}/work (Read-only file system)' in (
            message
        )
        assert 'Choose another folder with --work-dir' in message


def test_save_that_fails_without_a_mount(tools, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr('os.fsync', full)
    message = tools.refuses('train', *ONLY_TRAIN, begun=True)
    assert 'work/epoch_1.pth could not be saved' in message
    assert not list(Path('work').glob('*.pth'))


@pytest.mark.parametrize('work_dir', ['file', 'file/run'])
def test_work_dir_is_a_file(tools, work_dir):
    Path('file').write_text('mine')
    message = tools.refuses('train', work_dir=work_dir)
    assert f'cannot write to {Path.cwd()}/{work_dir}' in message
    assert 'Choose another folder with --work-dir' in message
    assert Path('file').read_text() == 'mine'


def test_work_dir_without_permission(tools, monkeypatch):
    def denied(*args, **kwargs):
        raise PermissionError(errno.EACCES, 'Permission denied')

    monkeypatch.setattr('tempfile.TemporaryFile', denied)
    assert '(Permission denied)' in tools.refuses('train')
