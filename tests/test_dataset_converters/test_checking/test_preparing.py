import json
import os
import shutil

import cv2
import numpy as np
import pytest
import soundfile
from PIL import Image

from mmcpm.dataset_converters.checking import preparing
from mmcpm.dataset_converters.checking.check_avsbench_object import (
    check_avsbench_object,
    prepare_avsbench_object,
)
from mmcpm.dataset_converters.checking.check_avsbench_semantic import (
    check_avsbench_semantic,
    prepare_avsbench_semantic,
)
from mmcpm.dataset_converters.common.destination import Options
from mmcpm.dataset_converters.sounding_scenes.writer import (
    write_sounding_scenes,
)
from mmcpm.datasets import AVSBenchSemanticDataset
from mmcpm.utils.errors import UsageError

PALETTE = AVSBenchSemanticDataset.METAINFO['palette']
SOUND = 'v1s/val1s_0_5000/audio.wav'
LABEL = 'v1m/m1_0/labels_semantic/1.png'


@pytest.fixture
def dest(tmp_path):
    return tmp_path / 'prepared'


def prepare(root, dest, *, leave_out=False, **options):
    return prepare_avsbench_semantic(
        str(root),
        str(dest),
        Options(**options),
        leave_out=leave_out,
        workers=0,
    )


def contents(folder):
    """Bytes of all files but the marker, by path; whatever ends lines."""
    return {
        str(path.relative_to(folder)): path.read_bytes().replace(
            b'\r\n', b'\n' if path.suffix == '.csv' else b'\r\n'
        )
        for path in folder.rglob('*')
        if path.is_file() and not path.name.startswith('prepared_')
    }


def paint(path):
    """Replace a label map by its colors; give its class ids."""
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    Image.fromarray(np.uint8(PALETTE)[labels]).save(path)
    return labels


def test_a_clean_copy_is_linked_and_has_the_same_content(avss_root, dest):
    report = prepare(avss_root, dest)
    assert report.findings == []
    assert contents(dest) == contents(avss_root)
    assert os.readlink(dest / LABEL) == str(avss_root / LABEL)
    assert json.loads((dest / 'prepared_avss.json').read_text())['finished']
    assert check_avsbench_semantic(str(dest), workers=0).num_faults == 0


def test_copies_are_no_links(avss_root, dest):
    prepare(avss_root, dest, copy=True)
    assert contents(dest) == contents(avss_root)
    assert not any(path.is_symlink() for path in dest.rglob('*'))


@pytest.mark.parametrize(
    ('rate', 'channels', 'expected'),
    [(44100, 2, 2), (8000, 1, 1), (96000, 6, 1), (16000, 6, 1)],
)
def test_sounds_become_16_khz_wav(rate, channels, expected, avss_copy, dest):
    time = np.arange(5 * rate) / rate
    # Channel c plays 500 (c + 1) Hz.
    tones = [np.sin(2 * np.pi * 500 * (c + 1) * time) for c in range(channels)]
    soundfile.write(avss_copy / SOUND, 0.5 * np.stack(tones, 1), rate)
    prepare(avss_copy, dest)
    samples, found_rate = soundfile.read(dest / SOUND, always_2d=True)
    assert (found_rate, samples.shape) == (16000, (80000, expected))
    peaks = np.abs(np.fft.rfft(samples, axis=0)) / 40000
    for channel in range(channels):
        # One bin is 0.2 Hz. The mean shares the amplitude.
        frequency = 5 * 500 * (channel + 1)
        column = min(channel, expected - 1)
        amplitude = 0.5 / (channels if channels > 2 else 1)
        assert peaks[frequency, column] == pytest.approx(amplitude, rel=0.02)


def test_frames_and_labels_are_resized(avss_root, dest):
    prepare(avss_root, dest, resize=(20, 30))
    for path in dest.rglob('*.jpg'):
        assert Image.open(path).size == (30, 20)
    labels = np.asarray(Image.open(dest / LABEL))
    # The lower right quarter, the rest of the left half, and nothing.
    expected = np.zeros((20, 30), np.uint8)
    expected[:, :15] = 3
    expected[10:, 15:] = 4
    assert (labels == expected).all()
    report = check_avsbench_semantic(str(dest), deep=True, workers=0)
    assert report.num_faults == 0


@pytest.mark.parametrize('orientation', [3, 6])
def test_turned_pictures_are_resized_as_they_are_stored(
    orientation, avss_copy, dest
):
    frame, exif = avss_copy / 'v1m/m1_0/frames/1.jpg', Image.Exif()
    exif[0x0112] = orientation
    pixels = np.zeros((36, 40, 3), np.uint8)
    pixels[:18, :20] = 200
    Image.fromarray(pixels).save(frame, exif=exif, quality=95)
    labels = np.asarray(Image.open(avss_copy / LABEL))
    Image.fromarray(labels).save(avss_copy / LABEL, exif=exif)
    report = check_avsbench_semantic(str(avss_copy), workers=0)
    assert report.num_faults == 0
    assert {f.file for f in report.findings if f.kind == 'orientation'} == {
        'v1m/m1_0/frames/1.jpg',
        LABEL,
    }
    prepare(avss_copy, dest, resize=(18, 20))
    resized = Image.open(dest / 'v1m/m1_0/frames/1.jpg')
    assert resized.getexif() == {} and resized.size == (20, 18)
    bright = np.asarray(resized)[..., 0] > 100
    assert bright[:9, :10].all() and bright.sum() == 90
    small = Image.open(dest / LABEL)
    assert small.getexif() == {}
    assert (np.asarray(small) == labels[1::2, 1::2]).all()


def test_sizes_that_an_orientation_swaps(avss_copy):
    frame, exif = avss_copy / 'v1m/m1_0/frames/1.jpg', Image.Exif()
    exif[0x0112] = 8
    width, height = Image.open(frame).size
    Image.new('RGB', (height, width)).save(frame, exif=exif)
    (found,) = (
        f
        for f in check_avsbench_semantic(str(avss_copy), workers=0).findings
        if f.is_fault
    )
    assert (found.kind, found.file) == ('size', LABEL)
    assert 'an EXIF orientation (8) is ignored' in found.what


def test_colors_are_not_decoded_unasked(avss_copy, dest):
    paint(avss_copy / LABEL)
    report = prepare(avss_copy, dest)
    assert [f[:2] for f in report.findings] == [('color', LABEL)]
    assert not (dest / LABEL).exists()
    assert not (dest / 'metadata.csv').exists()
    assert 'no index file was written' in report.text()


def test_colors_are_decoded_if_asked_for(avss_copy, dest):
    labels = paint(avss_copy / LABEL)
    assert prepare(avss_copy, dest, palette=PALETTE).findings == []
    decoded = Image.open(dest / LABEL)
    assert decoded.mode == 'L'
    assert (np.asarray(decoded) == labels).all()
    deep = check_avsbench_semantic(str(dest), deep=True, workers=0)
    assert deep.num_faults == 0


def test_missing_label_maps_are_made_of_labels_rgb(avss_copy, dest):
    clip = avss_copy / 'v1m/m1_0'
    expected = {
        path.name: paint(path) for path in (clip / 'labels_semantic').iterdir()
    }
    (clip / 'labels_semantic').rename(clip / 'labels_rgb')
    assert prepare(avss_copy, dest / 'a').num_faults == 1
    assert prepare(avss_copy, dest / 'b', palette=PALETTE).findings == []
    for name, labels in expected.items():
        path = dest / 'b/v1m/m1_0/labels_semantic' / name
        assert (np.asarray(Image.open(path)) == labels).all()


def test_unknown_colors_are_refused(avss_copy, dest):
    paint(avss_copy / LABEL)
    picture = np.array(Image.open(avss_copy / LABEL))
    picture[0, :3] = (1, 2, 3)
    Image.fromarray(picture).save(avss_copy / LABEL)
    report = prepare(avss_copy, dest, palette=PALETTE)
    assert [f[:2] for f in report.findings] == [('unknown color', LABEL)]
    assert report.findings[0].what == '(1, 2, 3) on 3 pixels'
    assert not (dest / LABEL).exists()


def test_bad_clips_can_be_left_out(avss_copy, dest):
    (avss_copy / SOUND).write_bytes(b'')
    report = prepare(avss_copy, dest, leave_out=True)
    assert report.num_faults == 1
    rows = (avss_copy / 'metadata.csv').read_text().splitlines()
    rows = [row for row in rows if 'val1s' not in row]
    assert (dest / 'metadata.csv').read_text().splitlines() == rows
    assert check_avsbench_semantic(str(dest), workers=0).num_faults == 0


def test_a_second_run_has_nothing_to_do(avss_copy, dest):
    soundfile.write(avss_copy / SOUND, np.zeros(5 * 8000), 8000)
    prepare(avss_copy, dest, resize=(20, 30))
    # The index files are written again.
    before = {
        p: p.stat().st_mtime_ns for p in dest.rglob('*/*') if p.is_file()
    }
    report = prepare(avss_copy, dest, resize=(20, 30))
    after = {p: p.stat().st_mtime_ns for p in dest.rglob('*/*') if p.is_file()}
    assert before == after
    assert report.summary.startswith('0 files written, 12 of 12')


def test_a_repaired_source_is_prepared_again(avss_copy, dest):
    source = avss_copy / SOUND
    good = source.read_bytes()
    source.write_bytes(b'')
    assert prepare(avss_copy, dest, copy=True).num_faults == 1
    source.write_bytes(good)
    report = prepare(avss_copy, dest, copy=True)
    # The clip was left alone as a whole: five frames and labels, one sound.
    assert report.summary.startswith('11 files written, 12 of 12')
    assert contents(dest) == contents(avss_copy)


def test_an_interrupted_run_is_continued(avss_copy, dest, monkeypatch):
    for path in avss_copy.rglob('audio.wav'):
        soundfile.write(path, np.zeros(10 * 8000), 8000)
    prepare(avss_copy, dest / 'whole', resize=(20, 30))
    write, calls = preparing._write_sound, []

    def stop(origin, subtype, path):
        calls.append(path)
        write(origin, subtype, path)
        if len(calls) == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr(preparing, '_write_sound', stop)
    with pytest.raises(KeyboardInterrupt):
        prepare(avss_copy, dest / 'stopped', resize=(20, 30))
    stopped = dest / 'stopped'
    assert not (stopped / 'metadata.csv').exists()
    assert not list(stopped.rglob('*.partial-*'))
    assert len(list(stopped.rglob('audio.wav'))) == 5
    # What a killed process could not remove.
    (stopped / 'v2/x.partial-1.jpg').parent.mkdir(exist_ok=True)
    (stopped / 'v2/x.partial-1.jpg').touch()
    monkeypatch.undo()
    prepare(avss_copy, stopped, resize=(20, 30))
    assert contents(stopped) == contents(dest / 'whole')


@pytest.mark.parametrize('subset', ['s4', 'ms3'])
def test_avsbench_object(subset, tmp_path, dest):
    root = tmp_path / 'scenes'
    write_sounding_scenes(
        root, layout=subset, size=32, clips=(1, 1, 1), workers=0
    )
    report = prepare_avsbench_object(
        str(root), str(dest), subset, Options(resize=(16, 16)), workers=0
    )
    assert report.findings == []
    report = check_avsbench_object(str(dest), subset, deep=True, workers=0)
    assert report.findings == []
    assert all(Image.open(p).size == (16, 16) for p in dest.rglob('*.png'))
    assert (dest / f'{subset}_meta_data.csv').read_text() == (
        root / f'{subset}_meta_data.csv'
    ).read_text()


def test_destinations_that_are_refused(avss_copy, dest, tmp_path):
    with pytest.raises(UsageError, match='never changed'):
        prepare(avss_copy, avss_copy / 'prepared')
    (tmp_path / 'thesis').mkdir()
    (tmp_path / 'thesis/text.tex').touch()
    with pytest.raises(UsageError, match='left alone'):
        prepare(avss_copy, tmp_path / 'thesis')
    prepare(avss_copy, dest)
    with pytest.raises(UsageError, match='with resize None'):
        prepare(avss_copy, dest, resize=(8, 8))
    with open(avss_copy / 'metadata.csv', 'a') as file:
        file.write('x,x,0,0,man,train\n')
    with pytest.raises(UsageError, match='6 cells where the first row has 7'):
        prepare(avss_copy, dest)


def test_the_source_is_not_touched(avss_copy, dest):
    soundfile.write(avss_copy / SOUND, np.zeros(5 * 8000), 8000)
    paint(avss_copy / LABEL)
    twin = shutil.copytree(avss_copy, dest.parent / 'twin')
    prepare(avss_copy, dest, palette=PALETTE, resize=(9, 9))
    assert contents(avss_copy) == contents(twin)
