import csv
import shutil

import cv2
import numpy as np
import pytest
import soundfile

from mmcpm.dataset_converters.checking.check_vpo import check_vpo, prepare_vpo
from mmcpm.dataset_converters.checking.vpo_rows import VPOCopy
from mmcpm.dataset_converters.common.destination import Options
from mmcpm.dataset_converters.sounding_scenes.writer import (
    write_sounding_scenes,
)
from mmcpm.datasets import VPODataset
from mmcpm.datasets.errors import DatasetNotFoundError
from mmcpm.utils.errors import UsageError

AUDIOS = 'vggsound_bench/VGGSound/audios'


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """Sounding scenes in the layouts of VPO."""
    roots = {}
    for subset in ('ss', 'ms', 'msmi'):
        roots[subset] = tmp_path_factory.mktemp(subset) / subset
        write_sounding_scenes(
            roots[subset],
            layout=f'vpo_{subset}',
            size=32,
            clips=(4, 2, 3),
            workers=0,
        )
    return roots


@pytest.fixture(params=['ss', 'ms', 'msmi'])
def copy(request, scenes, tmp_path):
    """A copy that may be damaged."""
    root = shutil.copytree(scenes[request.param], tmp_path / 'copy')
    return VPOCopy(str(root), request.param)


def table_of(copy, root):
    return root / copy.index_name


def samples(copy, root):
    """First line, picture, mask and recordings of every sample."""
    with open(table_of(copy, root), newline='') as file:
        rows = list(csv.DictReader(file))
    found = {}
    for line, row in enumerate(rows, start=2):
        image = row['img_Id'].zfill(12)
        if copy.subset == 'ss':
            stem = f'{row["cateName"]}/{image}'
            folder, mask = 'VPO-SS', f'{stem}_{row["ann_Ids"].zfill(12)}'
        else:
            stem = mask = image
            several = row.get('multi_instance') == '1'
            folder = 'VPO-MSMI' if several else 'VPO-MS'
        sample = found.setdefault(
            mask,
            (
                line,
                f'{folder}/data/{stem}.jpg',
                f'{folder}/mask/{mask}.png',
                [],
            ),
        )
        sample[3].append(f'{AUDIOS}/{row["vgg_file"]}.wav')
    return list(found.values())


def found_in(report):
    return {(f.kind, f.file, f.row) for f in report.findings}


def test_a_clean_copy_gives_nothing(copy):
    report = check_vpo(copy, deep=True, workers=0)
    assert report.findings == []
    # Six images for training, of which two will be held out, three to test.
    assert [c[1:] for c in report.counts] == [
        (6, 6, 6, None, None),
        (3, 3, 3, None, None),
        (9, 9, 9, None, None),
    ]


def test_every_damage_is_named_and_nothing_else(copy, tmp_path):
    root = tmp_path / 'copy'
    table, expected = table_of(copy, root), set()
    lines = table.read_text().splitlines()
    first, second, third, fourth, fifth, *_ = samples(copy, root)

    line, picture, mask, sounds = first
    path = root / picture
    path.write_bytes(path.read_bytes()[:-50])
    expected.add(('frame', picture, line))
    # 5 is a class id, but not the id of COCO of any class: airplane is 5!
    cv2.imwrite(str(root / mask), np.full((32, 32), 1, np.uint8))
    expected.add(('values', mask, line))

    line, picture, mask, sounds = second
    (root / picture).unlink()
    expected.add(('missing', picture, line))
    (root / mask).unlink()
    (root / mask).symlink_to('gone.png')
    expected.add(('link', mask, line))
    (root / sounds[0]).write_bytes(b'')
    expected.add(('sound', sounds[0], line))

    line, picture, mask, sounds = third
    cv2.imwrite(str(root / mask), np.zeros((32, 30), np.uint8))
    expected.add(('size', mask, line))
    soundfile.write(root / sounds[0], np.full(2 * 96000, 0.1), 96000)
    expected |= {('short', sounds[0], line), ('rate', sounds[0], line)}

    line, picture, mask, sounds = fourth
    cv2.imwrite(str(root / mask), np.zeros((32, 32, 3), np.uint8))
    expected.add(('color', mask, line))
    soundfile.write(root / sounds[0], np.full((4 * 16000, 6), 0.1), 16000)
    expected.add(('channels', sounds[0], line))

    line = fifth[0]
    extra = f'{picture.rpartition("/")[0]}/notes.txt'
    if copy.subset == 'msmi':
        folder = root / 'VPO-MSMI/data'
        extra = 'VPO-MSMI/data/notes.txt'
        assert folder.is_dir()
    (root / extra).touch()
    expected.add(('extra', extra, None))
    cells = lines[line - 1].split(',')
    where = lines[0].split(',')
    cells[where.index('audio_pos')] = '1.5'
    cells[where.index('img_Id')] = '77'
    bad = ','.join(cells)
    table.write_text('\n'.join([*lines, lines[line - 1], bad]) + '\n')
    expected.add(('repeated', copy.index_name, len(lines) + 1))
    expected.add(('row', copy.index_name, len(lines) + 2))

    report = check_vpo(copy, deep=True, workers=0)
    assert found_in(report) == expected


def test_an_image_in_both_splits(copy, tmp_path):
    root = tmp_path / 'copy'
    table = table_of(copy, root)
    lines = table.read_text().splitlines()
    assert ',train' in lines[1]
    moved = lines[1].replace(',train', ',val')
    table.write_text('\n'.join([*lines, moved]) + '\n')
    report = check_vpo(copy, workers=0)
    line = len(lines) + 1
    assert found_in(report) == {('splits', copy.index_name, line)}


def test_refused_rows_do_not_make_their_files_unasked_for(copy, tmp_path):
    root = tmp_path / 'copy'
    table = table_of(copy, root)
    # Every row of the last image.
    name = table.read_text().splitlines()[-1].partition(',')[0]
    text = table.read_text().replace(f'\n{name},', f'\n{name}.0,')
    lines = [
        line.replace(',val', ',test') if line.startswith(name) else line
        for line in text.splitlines()
    ]
    table.write_text('\n'.join(lines) + '\n')
    report = check_vpo(copy, workers=0)
    assert {f.kind for f in report.findings} == {'row'}
    assert "unknown split 'test'" in report.findings[0].what


@pytest.mark.parametrize('column', ['vgg_file', 'split', 'img_Id'])
def test_a_missing_column(column, copy, tmp_path):
    table = table_of(copy, tmp_path / 'copy')
    table.write_text(table.read_text().replace(column, 'x', 1))
    report = check_vpo(copy, workers=0)
    assert found_in(report) == {('index', copy.index_name, None)}
    assert f'{column} is missing' in report.findings[0].what


def test_no_positions_are_a_note(copy, tmp_path):
    table = table_of(copy, tmp_path / 'copy')
    table.write_text(table.read_text().replace('audio_pos', 'x', 1))
    report = check_vpo(copy, workers=0)
    assert found_in(report) == {('position', copy.index_name, None)}
    assert report.num_faults == 0


def test_missing_recordings_are_told_once(copy, tmp_path):
    shutil.rmtree(tmp_path / 'copy/vggsound_bench')
    report = check_vpo(copy, workers=0)
    assert [f[:2] for f in report.findings] == [('missing', 'vggsound_bench')]


def test_recordings_elsewhere(copy, tmp_path):
    root = tmp_path / 'copy'
    shutil.move(root / AUDIOS, tmp_path / 'sounds')
    elsewhere = VPOCopy(
        copy.root, copy.subset, audio_root=str(tmp_path / 'sounds')
    )
    assert check_vpo(elsewhere, workers=0).findings == []
    with pytest.raises(UsageError, match='Link them there'):
        prepare_vpo(elsewhere, str(tmp_path / 'x'), Options(), workers=0)


def test_a_prepared_copy_is_clean_and_loads(copy, tmp_path, mmseg_scope):
    root, dest = tmp_path / 'copy', tmp_path / 'prepared'
    for path in (root / AUDIOS).iterdir():
        sound, _ = soundfile.read(path)
        soundfile.write(path, np.repeat(sound, 3), 48000)
    report = prepare_vpo(copy, str(dest), Options(resize=(16, 24)), workers=0)
    assert report.findings == []
    prepared = VPOCopy(str(dest), copy.subset)
    assert check_vpo(prepared, deep=True, workers=0).findings == []
    dataset = VPODataset(
        data_root=str(dest),
        subset=copy.subset,
        split='test',
        pipeline=[
            dict(type='LoadFrameFromFile'),
            dict(type='LoadSoundSources'),
            dict(type='LoadTranslatedAnnotations'),
        ],
    )
    sample = dataset[0]
    assert sample['gt_seg_map'].shape == (16, 24)
    assert sample['audio'].shape == (2, 48000)


def test_an_image_is_left_out_with_all_its_rows(scenes, tmp_path):
    root = shutil.copytree(scenes['ms'], tmp_path / 'copy')
    copy = VPOCopy(str(root), 'ms')
    line, _, mask, sounds = max(
        samples(copy, root), key=lambda sample: len(sample[3])
    )
    assert len(sounds) > 1
    (root / mask).write_bytes(b'')
    dest = tmp_path / 'prepared'
    report = prepare_vpo(copy, str(dest), Options(), leave_out=True, workers=0)
    assert found_in(report) == {('label', mask, line)}
    prepared = samples(copy, dest)
    assert len(prepared) == 8
    assert mask not in [sample[2] for sample in prepared]
    assert check_vpo(VPOCopy(str(dest), 'ms'), workers=0).findings == []


def test_the_reorganised_form(tmp_path):
    rows = ['uid,frame,mask,category,split,type']
    for number, kind in enumerate(['VPO-SS', 'VPO-MS', 'VPO-SS']):
        folder = tmp_path / kind / f'u{number}'
        (folder / 'frames').mkdir(parents=True)
        (folder / 'labels_semantic').mkdir()
        cv2.imwrite(str(folder / 'frames/0.jpg'), np.zeros((8, 8, 3)))
        label = np.full((8, 8), 21 + number // 2, np.uint8)
        cv2.imwrite(str(folder / 'labels_semantic/0.png'), label)
        for name, channels in (('mono', 1), ('stereo', 2)):
            sound = np.full((48000, channels), 0.1)
            soundfile.write(folder / f'{name}_audio.wav', sound, 16000)
        rows.append(f'u{number},0.jpg,0.png,dog,train,{kind}')
    (tmp_path / 'vpo_data_clean.csv').write_text('\n'.join(rows) + '\n')
    (tmp_path / 'VPO-SS/u0/mono_audio.wav').unlink()
    copy = VPOCopy(str(tmp_path), 'ss', 'reorganised')
    # 22 is no class; 22 classes are 0 to 21.
    assert found_in(check_vpo(copy, deep=True, workers=0)) == {
        ('missing', 'VPO-SS/u0/mono_audio.wav', 2),
        ('values', 'VPO-SS/u2/labels_semantic/0.png', 4),
    }


def test_a_wrong_folder_is_refused(scenes):
    with pytest.raises(DatasetNotFoundError, match='vpo_msmi_data_stereo'):
        check_vpo(VPOCopy(str(scenes['ss']), 'msmi'), workers=0)
