import errno
import os
import zipfile

import pytest
import torch

from mmcpm.engine.checkpoint_files import (
    AtomicLocalBackend,
    find_newest_whole_checkpoint,
)


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'epoch_1.pth'
    AtomicLocalBackend().put(b'old', str(path))

    def full(descriptor):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr('os.fsync', full)
    with pytest.raises(
        OSError,
        match='epoch_1.pth could not be saved.*MiB '
        'free.*No space left.*--resume',
    ):
        AtomicLocalBackend().put(b'new', str(path))
    assert path.read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['epoch_1.pth']


def test_files_are_ordinary(tmp_path):
    path = tmp_path / 'sub' / 'a.txt'
    AtomicLocalBackend().put_text('text', str(path))
    assert path.read_text() == 'text'
    plain = tmp_path / 'plain'
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize('damage', ['truncated', 'flipped', 'empty', 'text'])
def test_newest_whole_checkpoint_skips_damaged_ones(tmp_path, damage):
    for epoch in (2, 9, 10):
        torch.save(
            dict(state_dict=torch.arange(1000)),
            tmp_path / f'epoch_{epoch}.pth',
        )
    torch.save(dict(state_dict={}), tmp_path / 'best_mIoU_epoch_11.pth')
    newest = tmp_path / 'epoch_10.pth'
    assert find_newest_whole_checkpoint(str(tmp_path)) == str(newest)
    content = bytearray(newest.read_bytes())
    if damage == 'truncated':
        content = content[: len(content) // 2]
    elif damage == 'flipped':
        with zipfile.ZipFile(newest) as archive:
            info = next(
                i for i in archive.infolist() if i.filename.endswith('/data/0')
            )
        content[info.header_offset + 500] ^= 0xFF
    elif damage == 'empty':
        content = b''
    else:
        content = b'not a checkpoint'
    newest.write_bytes(content)
    assert find_newest_whole_checkpoint(str(tmp_path)) == str(
        tmp_path / 'epoch_9.pth'
    )


def test_no_checkpoint(tmp_path):
    assert find_newest_whole_checkpoint(str(tmp_path)) is None
    assert find_newest_whole_checkpoint(str(tmp_path / 'missing')) is None
