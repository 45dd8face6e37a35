import hashlib
import os
import shutil

import cv2
import numpy as np
import pytest
import soundfile

from mmcpm.dataset_converters.checking.check_avsbench_semantic import (
    PUBLISHED,
    check_avsbench_semantic,
)
from mmcpm.datasets import AVSBenchSemanticDataset
from mmcpm.datasets.errors import DatasetNotFoundError

# What is odd in the published metadata, and in the clips of the fixture.
ODD_NAMES = {
    ('names', 'metadata.csv', "'h orse' in 1 row(s)"),
    ('names', 'metadata.csv', "'background' in 1 row(s)"),
    ('names', 'metadata.csv', "'off-the-screen' in 1 row(s)"),
}
PALETTE = np.uint8(AVSBenchSemanticDataset.METAINFO['palette'])


def replace_label(path, change):
    label = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(path), change(label))


def replace_sound(path, seconds, rate=16000, channels=1):
    shape = (int(seconds * rate), channels)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, shape)
    soundfile.write(path, noise, rate)


def add_rows(root, *rows):
    with open(root / 'metadata.csv', 'a') as file:
        file.writelines(f'{row}\n' for row in rows)


def missing_frame(root):
    (root / 'v1s/__GOGlHL23s_4000_9000/frames/3.jpg').unlink()
    return ('missing', 'v1s/__GOGlHL23s_4000_9000/frames/3.jpg', 2)


def truncated_frame(root):
    path = root / 'v1m/m1_0/frames/1.jpg'
    path.write_bytes(path.read_bytes()[:-40])
    return ('frame', 'v1m/m1_0/frames/1.jpg', 4)


def truncated_label(root):
    path = root / 'v1m/m1_0/labels_semantic/2.png'
    path.write_bytes(path.read_bytes()[:-20])
    return ('label', 'v1m/m1_0/labels_semantic/2.png', 4)


def empty_frame(root):
    (root / 'v1m/m1_0/frames/3.jpg').write_bytes(b'')
    return ('frame', 'v1m/m1_0/frames/3.jpg', 4)


def text_for_a_frame(root):
    (root / 'v1m/m1_0/frames/4.jpg').write_text('<html>not found</html>')
    return ('frame', 'v1m/m1_0/frames/4.jpg', 4)


def colors_for_labels(root):
    path = root / 'v2/-apT0tfo6U_16000_26000/labels_semantic/2.png'
    replace_label(path, lambda label: PALETTE[label][..., ::-1])
    return ('color', str(path.relative_to(root)), 6)


def unknown_colors(root):
    path = root / 'v2/-apT0tfo6U_16000_26000/labels_semantic/3.png'

    def change(label):
        picture = PALETTE[label][..., ::-1].copy()
        picture[0, :3] = (30, 20, 10)
        return picture

    replace_label(path, change)
    place = str(path.relative_to(root))
    return ('color', place, 6), ('unknown color', place, 6)


def write_colors(clip, frame, change=lambda picture: picture):
    """Write the colors of a label map into ``labels_rgb``."""
    (clip / 'labels_rgb').mkdir(exist_ok=True)
    label = cv2.imread(
        str(clip / f'labels_semantic/{frame}.png'), cv2.IMREAD_UNCHANGED
    )
    cv2.imwrite(
        str(clip / f'labels_rgb/{frame}.png'),
        change(PALETTE[label][..., ::-1].copy()),
    )


def colors_that_disagree(root):
    def change(picture):
        # BGR of class 3, on two pixels that are background.
        picture[0, :2] = (0, 128, 128)
        return picture

    clip = root / 'v2/-apT0tfo6U_16000_26000'
    write_colors(clip, 6, change)
    write_colors(clip, 7)
    place = str((clip / 'labels_semantic/6.png').relative_to(root))
    return ('colors disagree', place, 6)


def label_above_70(root):
    path = root / 'v2/-apT0tfo6U_16000_26000/labels_semantic/4.png'
    replace_label(path, lambda label: np.where(label == 5, 71, label))
    return ('values', str(path.relative_to(root)), 6)


def other_size(root):
    path = root / 'v2/-apT0tfo6U_16000_26000/labels_semantic/5.png'
    replace_label(path, lambda label: label[:, :-1])
    return ('size', str(path.relative_to(root)), 6)


def broken_link(root):
    path = root / 'v2/_offscreen_0_10000/labels_semantic/7.png'
    path.unlink()
    path.symlink_to('/nowhere/7.png')
    return ('link', str(path.relative_to(root)), 7)


def missing_label_folder(root):
    shutil.rmtree(root / 'v1s/zVfLHhs9uv8_3000_8000/labels_semantic')
    return ('missing', 'v1s/zVfLHhs9uv8_3000_8000/labels_semantic', 3)


def empty_wav(root):
    (root / 'v1s/val1s_0_5000/audio.wav').write_bytes(b'')
    return ('sound', 'v1s/val1s_0_5000/audio.wav', 8)


def truncated_wav(root):
    path = root / 'v1m/val1m_0/audio.wav'
    path.write_bytes(path.read_bytes()[:100_000])
    return ('sound', 'v1m/val1m_0/audio.wav', 9)


def low_rate(root):
    replace_sound(root / 'v2/val2_0_10000/audio.wav', 10, rate=8000)
    return ('rate', 'v2/val2_0_10000/audio.wav', 10)


def high_rate(root):
    replace_sound(root / 'v1s/test1s_0_5000/audio.wav', 5, rate=96000)
    return ('rate', 'v1s/test1s_0_5000/audio.wav', 11)


def six_channels(root):
    replace_sound(root / 'v1m/test1m_0/audio.wav', 5, channels=6)
    return ('channels', 'v1m/test1m_0/audio.wav', 12)


def short_sound(root):
    replace_sound(root / 'v2/-test2_0_10000/audio.wav', 8.7)
    return ('short', 'v2/-test2_0_10000/audio.wav', 13)


def long_sound(root):
    replace_sound(root / 'v2/_offscreen_0_10000/audio.wav', 12)
    return ('long', 'v2/_offscreen_0_10000/audio.wav', 7)


def clip_in_two_splits(root):
    add_rows(root, 'm2_1,m2_1,0,4,man,val,v1m')
    return ('splits', 'metadata.csv', 14)


def repeated_uid(root):
    # Whichever row stands first is in the line 13 + 1.
    line = len((root / 'metadata.csv').read_text().splitlines()) + 1
    add_rows(root, 'm1_0,m1_0,0,4,man,train,v1m')
    return ('repeated', 'metadata.csv', line)


def unknown_split(root):
    line = len((root / 'metadata.csv').read_text().splitlines()) + 1
    (root / 'v2/stray').mkdir()
    add_rows(root, 'stray,stray,0,4,man,holdout,v2')
    return ('row', 'metadata.csv', line)


def torn_row(root):
    line = len((root / 'metadata.csv').read_text().splitlines()) + 1
    (root / 'v2/torn').mkdir()
    add_rows(root, 'torn,torn,0,4')
    return ('row', 'metadata.csv', line)


def extra_file(root):
    (root / 'v1m/m2_1/frames/notes.txt').write_text('look here')
    return ('extra', 'v1m/m2_1/frames/notes.txt', None)


def extra_folder(root):
    shutil.copytree(root / 'v1m/m2_1', root / 'v1m/unlisted')
    return ('extra', 'v1m/unlisted', None)


def no_label_index(root):
    (root / 'label2idx.json').unlink()
    return ('missing', 'label2idx.json', None)


DAMAGES = [
    missing_frame,
    truncated_frame,
    truncated_label,
    empty_frame,
    text_for_a_frame,
    colors_for_labels,
    unknown_colors,
    colors_that_disagree,
    label_above_70,
    other_size,
    broken_link,
    missing_label_folder,
    empty_wav,
    truncated_wav,
    low_rate,
    high_rate,
    six_channels,
    short_sound,
    long_sound,
    clip_in_two_splits,
    repeated_uid,
    unknown_split,
    torn_row,
    extra_file,
    extra_folder,
    no_label_index,
]
NOTES = {low_rate, high_rate, six_channels, long_sound}
NOTES |= {extra_file, extra_folder}


def found_in(report):
    return {
        (f.kind, f.file, f.row)
        for f in report.findings
        # The fixture's rows name other classes than its label maps hold.
        if f.kind not in ('names', 'stray')
    }


def apply(damage, root):
    told = damage(root)
    return {told} if isinstance(told[0], str) else set(told)


def test_a_clean_copy_has_only_the_published_oddities(avss_root):
    report = check_avsbench_semantic(str(avss_root), deep=True, workers=0)
    assert {f[:3] for f in report.findings if f.kind != 'stray'} == ODD_NAMES
    assert report.num_faults == 0


@pytest.mark.parametrize('damage', DAMAGES, ids=lambda d: d.__name__)
def test_each_damage_is_named_and_nothing_else(damage, avss_copy):
    expected = apply(damage, avss_copy)
    report = check_avsbench_semantic(str(avss_copy), deep=True, workers=0)
    assert found_in(report) == expected
    assert bool(report.num_faults) == (damage not in NOTES)


def half(picture):
    return picture[:, ::2]


@pytest.mark.parametrize(
    ('damage', 'told'),
    [
        (None, 'labels_rgb/6.png says otherwise on 2 of '),
        (half, 'labels_rgb/6.png is '),
        ('text', 'labels_rgb/6.png: '),
    ],
)
def test_how_colors_disagree(damage, told, avss_copy):
    clip = avss_copy / 'v2/-apT0tfo6U_16000_26000'
    colors_that_disagree(avss_copy)
    if damage == 'text':
        (clip / 'labels_rgb/6.png').write_text('no picture')
    elif damage is not None:
        write_colors(clip, 6, damage)
    report = check_avsbench_semantic(str(avss_copy), deep=True, workers=0)
    (finding,) = (f for f in report.findings if f.is_fault)
    assert finding.kind == 'colors disagree'
    assert finding.what.startswith(told)


def test_all_damages_at_once_are_named_and_nothing_else(avss_copy):
    expected = {
        found for damage in DAMAGES for found in apply(damage, avss_copy)
    }
    report = check_avsbench_semantic(str(avss_copy), deep=True, workers=0)
    assert found_in(report) == expected
    assert len(expected) == len(DAMAGES) + 1
    text = report.text()
    assert all(f.file in text for f in report.findings if f.is_fault)


def test_headers_alone_tell_all_but_the_values(avss_copy):
    expected = {
        found for damage in DAMAGES for found in apply(damage, avss_copy)
    }
    report = check_avsbench_semantic(str(avss_copy), workers=0)
    assert {kind for kind, _, _ in expected - found_in(report)} == {
        'values',
        'unknown color',
        'colors disagree',
    }
    assert found_in(report) < expected


@pytest.mark.parametrize(
    ('change', 'told'),
    [
        (lambda t: t.replace('a_obj', 'objects', 1), 'a_obj is missing'),
        (lambda t: t.partition('\n')[0] + '\n', 'no row below the first'),
        (lambda t: '', 'it has no rows'),
    ],
)
def test_strange_index_files(change, told, avss_copy):
    path = avss_copy / 'metadata.csv'
    path.write_text(change(path.read_text()))
    report = check_avsbench_semantic(str(avss_copy), workers=0)
    faults = [f for f in report.findings if f.is_fault]
    assert [f.file for f in faults] == ['metadata.csv']
    assert told in faults[0].what


@pytest.mark.parametrize('encoding', ['utf-16', 'latin-1'])
def test_other_encodings_are_told_and_the_rest_is_checked(encoding, avss_copy):
    path = avss_copy / 'metadata.csv'
    text = path.read_text().replace('h orse', 'hörse')
    path.write_text(text, encoding=encoding)
    place = missing_frame(avss_copy)[1]
    report = check_avsbench_semantic(str(avss_copy), workers=0)
    assert [f.file for f in report.findings if f.is_fault] == [
        'metadata.csv',
        place,
    ]
    assert 'no UTF-8' in report.findings[0].what


def test_a_missing_subset_is_told_once(avss_copy):
    shutil.rmtree(avss_copy / 'v2')
    report = check_avsbench_semantic(str(avss_copy), workers=0)
    assert found_in(report) == {('missing', 'v2', None)}


def test_videos_in_several_splits_are_a_note(avss_copy):
    add_rows(avss_copy, '__GOGlHL23s,val2_0_10000_b,0,4,car,val,v2')
    os.rename(avss_copy / 'v2/val2_0_10000', avss_copy / 'v2/val2_0_10000_b')
    text = (avss_copy / 'metadata.csv').read_text().splitlines(True)
    (avss_copy / 'metadata.csv').write_text(
        ''.join(line for line in text if 'val2_0_10000,' not in line)
    )
    report = check_avsbench_semantic(str(avss_copy), workers=0)
    assert found_in(report) == {('videos', 'metadata.csv', None)}
    assert report.num_faults == 0


def test_counts_stand_beside_the_published_ones(avss_copy):
    missing_label_folder(avss_copy)
    report = check_avsbench_semantic(str(avss_copy), workers=0)
    counts = {count.name: count[1:] for count in report.counts}
    # Two clips, of which only frame 0 is labeled, and one label is gone.
    assert counts['v1s/train'] == (2, 2, 1, 3452, 3452)
    assert counts['v2/test'] == (1, 10, 10, 750, 7500)
    # Section 1.2 of the published description: clips and labeled frames.
    assert counts['all'][3:] == (11356, 72972)
    assert sum(clips for clips, _ in PUBLISHED.values()) == 11356


def test_nothing_is_touched(avss_copy):
    def state():
        return {
            path: (
                path.lstat().st_mtime_ns,
                hashlib.sha256(path.read_bytes()).digest()
                if path.is_file()
                else sorted(os.listdir(path)),
            )
            for path in [avss_copy, *avss_copy.rglob('*')]
        }

    before = state()
    check_avsbench_semantic(str(avss_copy), deep=True, workers=0)
    assert state() == before


def test_a_wrong_folder_is_refused(tmp_path):
    with pytest.raises(DatasetNotFoundError, match='No data root'):
        check_avsbench_semantic(str(tmp_path / 'x'), workers=0)


def test_several_processes_find_the_same(avss_copy, avss_writers, avss_clips):
    clips = list(avss_clips)
    for number in range(40):
        clips.append((f'more{number}', 'cat', 'test', 'v1m'))
        shutil.copytree(
            avss_copy / 'v1m/test1m_0', avss_copy / f'v1m/more{number}'
        )
    avss_writers[0](avss_copy, clips)
    for damage in (missing_frame, empty_wav, extra_file):
        damage(avss_copy)
    (avss_copy / 'v1m/more37/audio.wav').unlink()
    one, two = (
        check_avsbench_semantic(str(avss_copy), workers=workers)
        for workers in (0, 2)
    )
    assert one.findings == two.findings
    assert ('missing', 'v1m/more37/audio.wav', 51) in found_in(two)
