import csv
import errno
import hashlib
import json
import multiprocessing
import os
import shutil
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile

from mmcpm.dataset_converters.common import parallel
from mmcpm.dataset_converters.common.folders import DatasetFolderError
from mmcpm.dataset_converters.sounding_scenes import writer
from mmcpm.dataset_converters.sounding_scenes.presets import PRESETS
from mmcpm.dataset_converters.sounding_scenes.scene import make_clip
from mmcpm.dataset_converters.sounding_scenes.writer import (
    read_marker,
    write_sounding_scenes,
)
from mmcpm.utils.errors import UsageError

DEMO = PRESETS['demo']
CLIPS = (5, 1, 2)


def write(root, **kwargs):
    arguments = {'size': 32, 'clips': CLIPS, 'workers': 0, **kwargs}
    return write_sounding_scenes(root, **arguments)


def digests(root):
    return {
        str(path.relative_to(root)): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in Path(root).rglob('*')
        if path.is_file()
    }


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'scenes'
    marker, new = write(root, seed=3)
    assert new
    return root, marker


@pytest.fixture
def copy(written, tmp_path):
    root = tmp_path / 'scenes'
    shutil.copytree(written[0], root)
    return root


def read_rows(root):
    with open(root / 'metadata.csv', newline='') as file:
        return list(csv.DictReader(file))


def test_index_files_are_those_of_avsbench(written):
    root, _ = written
    header = (root / 'metadata.csv').read_text().splitlines()[0]
    assert header == 'vid,uid,s_min,s_sec,a_obj,split,label'
    rows = read_rows(root)
    assert [row['split'] for row in rows] == ['train'] * 5 + ['val'] + [
        'test'
    ] * 2
    assert [row['label'] for row in rows[:5]] == [
        'v2',
        'v1s',
        'v2',
        'v1m',
        'v2',
    ]
    assert rows[1]['vid'] == 'train00001'
    assert rows[1]['uid'] == 'train00001_0_5000'
    index = json.loads((root / 'label2idx.json').read_text())
    assert list(index) == list(DEMO.class_names)
    assert list(index.values()) == list(range(1, 10))


def test_every_clip_has_its_files(written):
    root, _ = written
    for row in read_rows(root):
        folder = root / row['label'] / row['uid']
        frames = 10 if row['label'] == 'v2' else 5
        only_first = (row['label'], row['split']) == ('v1s', 'train')
        for part, count, suffix in (
            ('frames', frames, 'jpg'),
            ('visible', frames, 'png'),
            ('labels_semantic', 1 if only_first else frames, 'png'),
            ('labels_rgb', 1 if only_first else frames, 'png'),
        ):
            found = {path.name for path in (folder / part).iterdir()}
            assert found == {f'{t}.{suffix}' for t in range(count)}
        info = soundfile.info(folder / 'audio.wav')
        assert (info.samplerate, info.channels, info.subtype) == (
            16000,
            1,
            'PCM_16',
        )
        assert info.frames == 16000 * frames


def test_files_hold_what_the_clip_holds(written):
    root, _ = written
    clip = make_clip(DEMO, 'test', 0, seed=3, size=32)
    folder = root / 'v2' / 'test00000_0_10000'
    for t in range(10):
        label = cv2.imread(
            str(folder / f'labels_semantic/{t}.png'), cv2.IMREAD_UNCHANGED
        )
        np.testing.assert_array_equal(label, clip.labels[t])
        visible = cv2.imread(
            str(folder / f'visible/{t}.png'), cv2.IMREAD_UNCHANGED
        )
        np.testing.assert_array_equal(visible, clip.world.visible[t])
        rgb = cv2.imread(str(folder / f'labels_rgb/{t}.png'))[..., ::-1]
        np.testing.assert_array_equal(rgb, np.array(DEMO.palette)[label])
        frame = cv2.imread(str(folder / f'frames/{t}.jpg'))[..., ::-1]
        # JPEG halves the resolution of colors: compare the brightness.
        difference = frame.mean(-1) - clip.world.frames[t].mean(-1)
        assert np.abs(difference).mean() < 4
    wave, _ = soundfile.read(folder / 'audio.wav', dtype='float32')
    np.testing.assert_allclose(wave, clip.waveform, atol=2**-15)
    truth = json.loads((folder / 'scene.json').read_text())
    assert truth == clip.truth()


def test_marker_tells_what_was_written(written):
    root, marker = written
    assert read_marker(root) == marker
    assert marker == {
        'preset': 'demo',
        'seed': 3,
        'size': 32,
        'clips': {'train': 5, 'val': 1, 'test': 2},
        'version': 1,
        # v2, v1s, v2, v1m, v2 in train; v2; v2, v1s in test.
        'labelled_frames': {'train': 36, 'val': 10, 'test': 15},
        'files': len(digests(root)),
    }
    assert not list(root.parent.glob('.*'))


def test_processes_do_not_change_a_byte(written, tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, 'FEW', 0)
    write(tmp_path / 'again', seed=3, workers=2)
    assert digests(tmp_path / 'again') == digests(written[0])


def test_another_seed_changes_the_clips(written, tmp_path):
    write(tmp_path / 'other', seed=4)
    ours, others = digests(written[0]), digests(tmp_path / 'other')
    # uids tell split and number only, so both have the same files.
    frames = [name for name in ours if name.endswith('.jpg')]
    assert all(ours[name] != others[name] for name in frames)


def test_finished_data_is_used_again(copy, monkeypatch):
    before = digests(copy)
    monkeypatch.setattr(writer, 'make_clip', None)  # must not be needed
    marker, new = write(copy, seed=3)
    assert not new and marker == read_marker(copy)
    assert digests(copy) == before


def test_overwrite_writes_again(copy):
    (copy / 'metadata.csv').write_text('spoilt')
    _, new = write(copy, seed=4, overwrite=True)
    assert new and len(read_rows(copy)) == 8


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'seed': 4}, r'seed 3 \(wanted: 4\)'),
        ({'size': 48}, r'size 32 \(wanted: 48\)'),
        ({'clips': (5, 1, 3)}, "'test': 2.*wanted.*'test': 3"),
    ],
)
def test_other_parameters_are_refused(copy, change, message):
    with pytest.raises(DatasetFolderError, match=message) as caught:
        write(copy, **{'seed': 3, **change})
    assert '--overwrite' in str(caught.value)


def test_lost_files_are_noticed(copy):
    (copy / 'v2' / 'train00000_0_10000' / 'frames' / '3.jpg').unlink()
    with pytest.raises(DatasetFolderError, match='lost files'):
        write(copy, seed=3)


@pytest.mark.parametrize('overwrite', [False, True])
def test_foreign_folders_are_never_touched(tmp_path, overwrite):
    (tmp_path / 'thesis.tex').write_text('years of work')
    with pytest.raises(DatasetFolderError, match='left alone'):
        write(tmp_path, overwrite=overwrite)
    assert digests(tmp_path).keys() == {'thesis.tex'}


def test_an_empty_folder_and_a_link_are_filled(tmp_path):
    (tmp_path / 'big_disk').mkdir()
    link = tmp_path / 'scenes'
    link.symlink_to(tmp_path / 'big_disk')
    write(link, clips=(1, 0, 0))
    assert link.is_symlink()
    assert (tmp_path / 'big_disk' / writer.MARKER).is_file()


def test_a_file_in_the_way_is_reported(tmp_path):
    (tmp_path / 'file').write_text('')
    for root in (tmp_path / 'file', tmp_path / 'file' / 'scenes'):
        with pytest.raises(DatasetFolderError):
            write(root)
    assert (tmp_path / 'file').read_text() == ''


def test_a_full_disk_is_reported_and_nothing_is_left(tmp_path, monkeypatch):
    written = []

    def write_bytes(path, content):
        written.append(path)
        if len(written) > 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, 'write_bytes', write_bytes)
    with pytest.raises(DatasetFolderError, match='is full'):
        write(tmp_path / 'scenes')
    assert not list(tmp_path.iterdir())


def test_a_full_disk_in_another_process_is_reported(tmp_path, monkeypatch):

    def write_bytes(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, 'write_bytes', write_bytes)
    with pytest.raises(DatasetFolderError, match='is full'):
        write(tmp_path / 'scenes', workers=2, clips=(40, 0, 0))
    assert not list(tmp_path.iterdir())


def test_a_killed_process_does_not_hang_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, 'make_clip', lambda *a, **k: os._exit(9))
    with pytest.raises(UsageError, match='was killed'):
        write(tmp_path / 'scenes', workers=2, clips=(40, 0, 0))
    assert not list(tmp_path.iterdir())


def is_running(process):
    try:
        state = Path(f'/proc/{process}/stat').read_text().rsplit(')')[-1]
    except FileNotFoundError:
        return False
    return state.split()[0] != 'Z'


@pytest.mark.skipif(not Path('/proc/self/stat').exists(), reason='no /proc')
def test_processes_end_with_a_killed_run(tmp_path, monkeypatch):

    def make_clip(*args, **kwargs):
        (tmp_path / f'worker-{os.getpid()}').touch()
        time.sleep(60)

    monkeypatch.setattr(writer, 'make_clip', make_clip)
    run = multiprocessing.get_context('fork').Process(
        target=write,
        args=(tmp_path / 'scenes',),
        kwargs={'workers': 2, 'clips': (40, 0, 0)},
    )
    run.start()
    deadline = time.time() + 20
    while not (started := list(tmp_path.glob('worker-*'))):
        assert time.time() < deadline
        time.sleep(0.02)
    run.kill()
    run.join()
    processes = [int(path.name.split('-')[1]) for path in started]
    while any(is_running(process) for process in processes):
        assert time.time() < deadline
        time.sleep(0.02)
    # What it left behind does not disturb the next run.
    monkeypatch.undo()
    write(tmp_path / 'scenes')
    assert not list(tmp_path.glob('.scenes*'))


@pytest.mark.parametrize(
    'change',
    [
        {'clips': (0, 0, 0)},
        {'clips': (1, -1, 0)},
        {'size': 8},
        {'seed': -1},
        {'preset': 'no-such'},
    ],
)
def test_impossible_arguments_are_refused(tmp_path, change):
    with pytest.raises(ValueError):
        write(tmp_path / 'scenes', **change)
    assert not list(tmp_path.iterdir())


def test_a_marker_is_needed(tmp_path):
    with pytest.raises(DatasetFolderError, match='make_sounding_scenes'):
        read_marker(tmp_path)
