import csv
import shutil

import cv2
import numpy as np
import pytest
import soundfile

from mmcpm.dataset_converters.checking.check_avsbench_object import (
    PUBLISHED,
    check_avsbench_object,
)
from mmcpm.dataset_converters.sounding_scenes.writer import (
    write_sounding_scenes,
)
from mmcpm.datasets.errors import DatasetNotFoundError


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """Sounding scenes in the layouts of S4 and MS3."""
    roots = {}
    for subset in ('s4', 'ms3'):
        root = tmp_path_factory.mktemp(subset) / subset
        write_sounding_scenes(
            root, layout=subset, size=32, clips=(2, 2, 2), workers=0
        )
        roots[subset] = root
    return roots


@pytest.fixture(params=['s4', 'ms3'])
def copy(request, scenes, tmp_path):
    """Subset, and a copy that may be damaged."""
    root = shutil.copytree(scenes[request.param], tmp_path / 'copy')
    return request.param, root


def first_clip(root, subset, split):
    """Line of the first clip of a split, and its folders and sound."""
    with open(root / f'{subset}_meta_data.csv', newline='') as file:
        rows = list(csv.reader(file))
    line, row = next(
        (line, row) for line, row in enumerate(rows, 1) if row[-1] == split
    )
    name, data = row[0], f'{subset}_data'
    if subset == 's4':
        place = f'{split}/{row[2]}'
        frames = f'{data}/visual_frames/{place}/{name}/{name}'
    else:
        place = split
        frames = f'{data}/visual_frames/{name}/{name}.mp4'
    return (
        line,
        frames,
        f'{data}/gt_masks/{place}/{name}/{name}',
        f'{data}/audio_wav/{place}/{name}.wav',
    )


def found_in(report):
    return {(f.kind, f.file, f.row) for f in report.findings}


def test_a_clean_copy_gives_nothing(copy):
    subset, root = copy
    report = check_avsbench_object(str(root), subset, deep=True, workers=0)
    assert report.findings == []
    train = 2 if subset == 's4' else 10
    assert [c[1:4] for c in report.counts] == [
        (2, train, train),
        (2, 10, 10),
        (2, 10, 10),
        (6, train + 20, train + 20),
    ]


def test_every_damage_is_named_and_nothing_else(copy):
    subset, root = copy
    table = root / f'{subset}_meta_data.csv'
    end = len(table.read_text().splitlines())
    expected = set()

    line, frames, masks, sound = first_clip(root, subset, 'train')
    (root / f'{frames}_2.png').unlink()
    expected.add(('missing', f'{frames}_2.png', line))
    path = root / f'{frames}_3.png'
    path.write_bytes(path.read_bytes()[:-30])
    expected.add(('frame', f'{frames}_3.png', line))
    colors = np.zeros((32, 32, 3), np.uint8)
    colors[:9] = (0, 0, 128)
    cv2.imwrite(str(root / f'{masks}_1.png'), colors)
    expected.add(('values', f'{masks}_1.png', line))
    soundfile.write(root / sound, np.full((5 * 8000, 6), 0.1), 8000)
    expected |= {('rate', sound, line), ('channels', sound, line)}

    line, frames, masks, sound = first_clip(root, subset, 'val')
    mask = np.zeros((32, 32), np.uint8)
    mask[:5] = 1
    cv2.imwrite(str(root / f'{masks}_1.png'), mask)
    expected.add(('values', f'{masks}_1.png', line))
    cv2.imwrite(str(root / f'{masks}_2.png'), np.zeros((30, 32), np.uint8))
    expected.add(('size', f'{masks}_2.png', line))
    (root / f'{masks}_3.png').unlink()
    (root / f'{masks}_3.png').symlink_to('gone.png')
    expected.add(('link', f'{masks}_3.png', line))
    (root / sound).write_bytes(b'')
    expected.add(('sound', sound, line))
    name = masks.rpartition('/')[2]
    (root / f'{masks}_6.png').touch()
    expected.add(('extra', f'{masks}_6.png', None))

    line, frames, masks, sound = first_clip(root, subset, 'test')
    soundfile.write(root / sound, np.full(4 * 16000, 0.1), 16000)
    expected.add(('short', sound, line))
    test_row = table.read_text().splitlines()[line - 1]
    row = {'s4': f'{name},0,bell,holdout', 'ms3': f'{name},holdout'}[subset]
    with open(table, 'a') as file:
        file.write(f'{test_row}\n{row}\n')
    expected.add(('repeated', table.name, end + 1))
    expected.add(('row', table.name, end + 2))

    report = check_avsbench_object(str(root), subset, deep=True, workers=0)
    assert found_in(report) == expected


def test_a_clip_in_two_splits(copy):
    subset, root = copy
    line = first_clip(root, subset, 'train')[0]
    table = root / f'{subset}_meta_data.csv'
    lines = table.read_text().splitlines()
    moved = lines[line - 1].rpartition(',')[0] + ',test'
    table.write_text('\n'.join([*lines, moved]) + '\n')
    report = check_avsbench_object(str(root), subset, workers=0)
    faults = {f.kind for f in report.findings}
    # The files of the second split are not there, of course.
    assert faults == {'splits', 'missing'}
    assert report.findings[0].row == len(lines) + 1


@pytest.mark.parametrize('delimiter', [';', '\t'])
def test_other_delimiters_are_a_note(delimiter, copy):
    subset, root = copy
    table = root / f'{subset}_meta_data.csv'
    table.write_text(table.read_text().replace(',', delimiter))
    report = check_avsbench_object(str(root), subset, workers=0)
    assert found_in(report) == {('delimiter', table.name, None)}
    assert report.num_faults == 0


def test_a_missing_column(copy):
    subset, root = copy
    table = root / f'{subset}_meta_data.csv'
    rows = [line.split(',')[:-1] for line in table.read_text().splitlines()]
    table.write_text(''.join(','.join(row) + '\n' for row in rows))
    report = check_avsbench_object(str(root), subset, workers=0)
    assert found_in(report) == {('index', table.name, None)}
    assert 'column split is missing' in report.findings[0].what


def test_the_category_is_not_taken_for_the_split(scenes, tmp_path):
    root = shutil.copytree(scenes['s4'], tmp_path / 'copy')
    table = root / 's4_meta_data.csv'
    rows = [line.split(',') for line in table.read_text().splitlines()]
    table.write_text(''.join(f'{r[0]},{r[1]},{r[3]}\n' for r in rows))
    report = check_avsbench_object(str(root), 's4', workers=0)
    assert 'column category is missing' in report.findings[0].what


def test_a_table_without_names_of_columns(copy):
    subset, root = copy
    table = root / f'{subset}_meta_data.csv'
    table.write_text(table.read_text().partition('\n')[2])
    report = check_avsbench_object(str(root), subset, workers=0)
    assert report.findings == []
    assert report.counts[-1].clips == 6


def test_a_missing_part_is_told_once(copy):
    subset, root = copy
    shutil.rmtree(root / f'{subset}_data/visual_frames')
    report = check_avsbench_object(str(root), subset, workers=0)
    part = f'{subset}_data/visual_frames'
    assert found_in(report) == {('missing', part, None)}


def test_a_wrong_folder_is_refused(scenes):
    with pytest.raises(DatasetNotFoundError, match='ms3_meta_data.csv'):
        check_avsbench_object(str(scenes['s4']), 'ms3', workers=0)


def test_published_sums():
    # Section 1.1: 4932 clips with 10,852 masks; 424 clips with 2,120.
    for subset, sums in {'s4': (4932, 10852), 'ms3': (424, 2120)}.items():
        columns = zip(*PUBLISHED[subset].values(), strict=True)
        assert tuple(map(sum, columns)) == sums
