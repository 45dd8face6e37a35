import shutil

import cv2
import numpy as np
import pytest
import soundfile

from mmcpm.dataset_converters.checking.check_folder import check_folder
from mmcpm.datasets import DatasetIndexError, DatasetNotFoundError


def check(root, **kwargs):
    return check_folder(str(root), workers=0, **kwargs)


def faults_of(report):
    return {(f.kind, f.file) for f in report.findings if f.is_fault}


def test_a_whole_folder_has_no_fault(folder_root):
    report = check(folder_root, deep=True)
    assert report.findings == []
    counts = {c.name: (c.clips, c.labels, c.present) for c in report.counts}
    # Four clips of three frames and a single frame.
    assert counts['train'] == (5, 13, 13)
    assert counts['all'] == (15, 39, 39)


def test_every_kind_of_fault_is_told(folder_root):
    train, val = folder_root / 'train', folder_root / 'val'
    (train / 'labels/c0/1.png').unlink()
    shutil.copy(train / 'audio/c1.wav', train / 'audio/c1.mp3')
    for part in ('frames', 'labels'):
        (train / part / 'c2/0.png').unlink()
        (train / part / 'c2/1.png').unlink()
    label = cv2.imread(str(train / 'labels/single.png'), -1)
    cv2.imwrite(str(train / 'labels/single.png'), label + 3)
    (train / 'frames/notes.txt').write_text('')
    colored = np.zeros((24, 32, 3), np.uint8)
    cv2.imwrite(str(val / 'labels/single.png'), colored)
    cv2.imwrite(str(val / 'labels/c0/0.png'), label[1:])
    (val / 'frames/c1/0.png').write_bytes(b'no picture')
    (val / 'audio/c2.wav').write_bytes(b'no sound')
    soundfile.write(val / 'audio/c3.wav', np.zeros(16000), 16000)
    shutil.rmtree(folder_root / 'test/audio')
    (folder_root / 'train/audio/spare.wav').write_bytes(b'')
    report = check(folder_root)
    assert faults_of(report) == {
        ('unpaired', 'train/frames/c0/1.png'),
        ('ambiguous', 'train/audio/c1.wav'),
        ('numbering', 'train/frames/c2'),
        ('unlisted', 'train/labels/single.png'),
        ('format', 'train/frames/notes.txt'),
        ('colored', 'val/labels/single.png'),
        ('size', 'val/labels/c0/0.png'),
        ('frame', 'val/frames/c1/0.png'),
        ('sound', 'val/audio/c2.wav'),
        ('short', 'val/audio/c3.wav'),
        ('missing', 'test/audio'),
    }
    text = report.text()
    for told in (
        'it holds the values 3, 4',
        'add the missing names to the class list',
        'one channel',
        'audio/c1.mp3 has the same name',
        '1.00 s, expected 3 s',
        'nothing asks for',
    ):
        assert told in text


def test_the_rate_of_frames_decides_how_long_sounds_last(folder_root):
    # Frame 2 is shown at 0.02 s: a second is enough.
    clip = folder_root / 'train/audio/c0.wav'
    soundfile.write(clip, np.full(16500, 0.1), 16000)
    assert faults_of(check(folder_root)) == {('short', 'train/audio/c0.wav')}
    assert check(folder_root, frames_per_second=100).findings == []


def test_what_cannot_be_checked_is_refused(folder_root, tmp_path):
    with pytest.raises(DatasetNotFoundError, match='No data root'):
        check(tmp_path / 'absent')
    (tmp_path / 'empty').mkdir()
    shutil.copy(folder_root / 'classes.txt', tmp_path / 'empty')
    with pytest.raises(DatasetNotFoundError, match='has no split'):
        check(tmp_path / 'empty')
    (tmp_path / 'names').write_text('a\na\n')
    with pytest.raises(DatasetIndexError, match='listed twice'):
        check(folder_root, class_file=str(tmp_path / 'names'))
