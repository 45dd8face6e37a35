import hashlib
import os
import shutil
from pathlib import Path

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


V1S, V1M = 'v1s/__GOGlHL23s_4000_9000', 'v1m/m1_0'
V2, OFF = 'v2/-apT0tfo6U_16000_26000', 'v2/_offscreen_0_10000'
INDEX = 'metadata.csv'


def cut(number):
    """Take bytes off the end of a file."""
    return lambda path: path.write_bytes(path.read_bytes()[:-number])


def write(content):
    return lambda path: path.write_text(content)


def relabel(change):
    """Replace a label map by a function of it."""

    def damage(path):
        label = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), change(label))

    return damage


def unknown_color(label):
    picture = PALETTE[label][..., ::-1].copy()
    picture[0, :3] = (30, 20, 10)
    return picture


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


def disagree(path):
    def change(picture):
        # BGR of class 3, on two pixels that are background.
        picture[0, :2] = (0, 128, 128)
        return picture

    write_colors(path.parents[1], 6, change)
    write_colors(path.parents[1], 7)


def link_to_nothing(path):
    path.unlink()
    path.symlink_to('/nowhere/7.png')


def sound(seconds, rate=16000, channels=1):
    shape = (int(seconds * rate), channels)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, shape)
    return lambda path: soundfile.write(path, noise, rate)


def add_row(row, folder=None):
    """Add a row to the index file, and a folder that it asks for."""

    def damage(path):
        path.write_text(f'{path.read_text()}{row}\n')
        if folder:
            (path.parent / folder).mkdir()

    return damage


# Kind of finding, file, line (None: the last one), and the damage to it.
DAMAGES = [
    ('missing', f'{V1S}/frames/3.jpg', 2, Path.unlink),
    ('frame', f'{V1M}/frames/1.jpg', 4, cut(40)),
    ('label', f'{V1M}/labels_semantic/2.png', 4, cut(20)),
    ('frame', f'{V1M}/frames/3.jpg', 4, write('')),
    ('frame', f'{V1M}/frames/4.jpg', 4, write('<html>not found</html>')),
    (
        *('color', f'{V2}/labels_semantic/2.png', 6),
        relabel(lambda label: PALETTE[label][..., ::-1]),
    ),
    (
        *('unknown color', f'{V2}/labels_semantic/3.png', 6),
        relabel(unknown_color),
    ),
    ('colors disagree', f'{V2}/labels_semantic/6.png', 6, disagree),
    (
        *('values', f'{V2}/labels_semantic/4.png', 6),
        relabel(lambda label: np.where(label == 5, 71, label)),
    ),
    (
        *('size', f'{V2}/labels_semantic/5.png', 6),
        relabel(lambda label: label[:, :-1]),
    ),
    ('link', f'{OFF}/labels_semantic/7.png', 7, link_to_nothing),
    (
        *('missing', 'v1s/zVfLHhs9uv8_3000_8000/labels_semantic', 3),
        shutil.rmtree,
    ),
    ('sound', 'v1s/val1s_0_5000/audio.wav', 8, write('')),
    ('sound', 'v1m/val1m_0/audio.wav', 9, cut(60_000)),
    ('rate', 'v2/val2_0_10000/audio.wav', 10, sound(10, rate=8000)),
    ('rate', 'v1s/test1s_0_5000/audio.wav', 11, sound(5, rate=96000)),
    ('channels', 'v1m/test1m_0/audio.wav', 12, sound(5, channels=6)),
    ('short', 'v2/-test2_0_10000/audio.wav', 13, sound(8.7)),
    ('long', f'{OFF}/audio.wav', 7, sound(12)),
    ('splits', INDEX, 0, add_row('m2_1,m2_1,0,4,man,val,v1m')),
    ('repeated', INDEX, 0, add_row('m1_0,m1_0,0,4,man,train,v1m')),
    (
        *('row', INDEX, 0),
        add_row('stray,stray,0,4,man,holdout,v2', 'v2/stray'),
    ),
    ('row', INDEX, 0, add_row('torn,torn,0,4', 'v2/torn')),
    ('extra', 'v1m/m2_1/frames/notes.txt', None, write('look here')),
    (
        *('extra', 'v1m/unlisted', None),
        lambda path: shutil.copytree(path.with_name('m2_1'), path),
    ),
    ('missing', 'label2idx.json', None, Path.unlink),
]
NOTES = ('rate', 'channels', 'long', 'extra')


def found_in(report):
    return {
        (f.kind, f.file, f.row)
        for f in report.findings
        # The fixture's rows name other classes than its label maps hold.
        if f.kind not in ('names', 'stray')
    }


def apply(damage, root):
    """Damage a copy; give what is to be found."""
    kind, file, line, change = damage
    change(root / file)
    if line == 0:
        line = len((root / INDEX).read_text().splitlines())
    found = {(kind, file, line)}
    return (
        found | {('color', file, line)} if kind == 'unknown color' else found
    )


def test_a_clean_copy_has_only_the_published_oddities(avss_root):
    report = check_avsbench_semantic(str(avss_root), deep=True, workers=0)
    assert {f[:3] for f in report.findings if f.kind != 'stray'} == ODD_NAMES
    assert report.num_faults == 0


@pytest.mark.parametrize('damage', DAMAGES, ids=lambda d: d[0])
def test_each_damage_is_named_and_nothing_else(damage, avss_copy):
    expected = apply(damage, avss_copy)
    report = check_avsbench_semantic(str(avss_copy), deep=True, workers=0)
    assert found_in(report) == expected
    assert bool(report.num_faults) == (damage[0] not in NOTES)


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
    disagree(clip / 'labels_semantic/6.png')
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
    place = DAMAGES[0][1]
    apply(DAMAGES[0], avss_copy)
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
    row = '__GOGlHL23s,val2_0_10000_b,0,4,car,val,v2'
    add_row(row)(avss_copy / INDEX)
    os.rename(avss_copy / 'v2/val2_0_10000', avss_copy / 'v2/val2_0_10000_b')
    text = (avss_copy / 'metadata.csv').read_text().splitlines(True)
    (avss_copy / 'metadata.csv').write_text(
        ''.join(line for line in text if 'val2_0_10000,' not in line)
    )
    report = check_avsbench_semantic(str(avss_copy), workers=0)
    assert found_in(report) == {('videos', 'metadata.csv', None)}
    assert report.num_faults == 0


def test_counts_stand_beside_the_published_ones(avss_copy):
    shutil.rmtree(avss_copy / 'v1s/zVfLHhs9uv8_3000_8000/labels_semantic')
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
    for damage in (DAMAGES[0], DAMAGES[12], DAMAGES[23]):
        apply(damage, avss_copy)
    (avss_copy / 'v1m/more37/audio.wav').unlink()
    one, two = (
        check_avsbench_semantic(str(avss_copy), workers=workers)
        for workers in (0, 2)
    )
    assert one.findings == two.findings
    assert ('missing', 'v1m/more37/audio.wav', 51) in found_in(two)
