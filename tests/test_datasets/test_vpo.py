import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile

from mmcpm.datasets import SampleReadError, VPODataset
from mmcpm.datasets.errors import DatasetIndexError, DatasetNotFoundError

HEADER = 'img_Id,ann_Ids,cateName,cateId,vgg_file,audio_pos,split'
CLASSES = VPODataset.METAINFO['classes']
RATE = 16000
# Twenty images for training and two for the test; the second of those has
# several instances of a class.
TRAIN = [f'{i},{i},dog,18,dog{i},0.25,train' for i in range(1, 21)]
MS = [
    *TRAIN,
    '101,1,dog,18,dog_a,0.25,val',
    '101,2,car,3,car_a,1.0,val',
]
MSMI = [f'{row},0' for row in MS] + ['102,1,cell phone,77,phone,0.75,val,1']


def pipeline(channels):
    return [
        dict(type='LoadFrameFromFile'),
        dict(type='LoadSoundSources', channels=channels),
        dict(type='LoadTranslatedAnnotations'),
        dict(type='RecordSoundingClasses'),
        dict(type='PackAVSInputs'),
    ]


def write_image(folder, place, name, mask, values):
    """Write a picture and a mask whose column i has value ``values[i]``."""
    for part in ('data', 'mask'):
        (folder / part / place).mkdir(parents=True, exist_ok=True)
    picture = np.full((6, len(values), 3), 90, np.uint8)
    cv2.imwrite(str(folder / 'data' / place / f'{name}.jpg'), picture)
    columns = np.tile(np.uint8(values), (6, 1))
    cv2.imwrite(str(folder / 'mask' / place / f'{mask}.png'), columns)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """VPO-MS and VPO-MSMI with one image of VPO-SS, as published."""
    root = tmp_path_factory.mktemp('vpo')
    ms, msmi, ss = (root / f'VPO-{kind}' for kind in ('MS', 'MSMI', 'SS'))
    for number in range(1, 21):
        write_image(ms, '', f'{number:012}', f'{number:012}', [0, 18, 255])
    write_image(ms, '', f'{101:012}', f'{101:012}', [0, 18, 3, 5])
    write_image(msmi, '', f'{102:012}', f'{102:012}', [77, 0, 0])
    write_image(ss, 'tennis racket', f'{7:012}', f'{7:012}_{9:012}', [43, 0])
    for folder, subset, rows, header in (
        (ms, 'ms', MS, HEADER),
        (msmi, 'msmi', MSMI, HEADER + ',multi_instance'),
        (ss, 'ss', ['7,9,tennis racket,43,phone,0.5,val'], HEADER),
    ):
        text = '\n'.join((header, *rows)) + '\n'
        (folder / f'vpo_{subset}_data_stereo.csv').write_text(text)
    audios = root / 'vggsound_bench/VGGSound/audios'
    audios.mkdir(parents=True)
    levels = {f'dog{i}': 0.1 for i in range(1, 21)}
    levels.update(dog_a=0.2, car_a=0.4, phone=0.8)
    for name, level in levels.items():
        wave = np.zeros(5 * RATE)
        wave[RATE : 4 * RATE] = level
        soundfile.write(audios / f'{name}.wav', wave, RATE, subtype='FLOAT')
    return root


@pytest.fixture
def copy(root, tmp_path):
    return shutil.copytree(root, tmp_path / 'vpo')


def dataset(root, subset='ms', channels='stereo', **kwargs):
    kwargs.setdefault('pipeline', pipeline(channels))
    return VPODataset(data_root=str(root), subset=subset, **kwargs)


def uids(data):
    return [data.get_data_info(i)['uid'] for i in range(len(data))]


pytestmark = pytest.mark.usefixtures('mmseg_scope')


def test_test_split_is_what_the_files_call_val(root):
    data = dataset(root, split='test', test_mode=True)
    assert uids(data) == ['000000000101']
    sample = data[0]['data_samples']
    assert sample.sample_id == '000000000101/0'
    # LUT: dog 18 -> 9, car 3 -> 5 and airplane 5 -> 1.
    assert sample.gt_sem_seg.data[0, 0].tolist() == [0, 9, 5, 1]
    assert sample.audio_labels == (1, 5, 9)
    # Left 0.2 * 0.75, right 0.2 * 0.25 + 0.4.
    assert sample.audio.shape == (2, 48_000)
    np.testing.assert_allclose(sample.audio[0], 0.15, atol=1e-6)
    np.testing.assert_allclose(sample.audio[1], 0.45, atol=1e-6)


def test_mono_adds_the_recordings(root):
    sample = dataset(root, channels='mono', split='test')[0]['data_samples']
    assert sample.audio.shape == (1, 48_000)
    np.testing.assert_allclose(sample.audio, 0.6, atol=1e-6)


def test_msmi_takes_images_from_two_folders(root):
    data = dataset(root, 'msmi', split='test')
    infos = [data.get_data_info(i) for i in range(2)]
    assert [info['uid'] for info in infos] == ['000000000101', '000000000102']
    assert 'VPO-MS/data' in infos[0]['img_path']
    assert 'VPO-MSMI/mask' in infos[1]['seg_map_path']
    # Images may share a recording: they are not mixed then.
    for index, info in enumerate(infos):
        files = [Path(p).stem for p, _ in info['audio_sources']]
        assert info['sound_sources'] == tuple(files) != ()
        packed = data[index]['data_samples'].metainfo
        assert packed['sound_sources'] == tuple(files)
    label = data[1]['data_samples'].gt_sem_seg.data[0, 0].tolist()
    assert label == [CLASSES.index('cell phone'), 0, 0]


def test_ss_lies_in_folders_of_its_categories(root):
    data = dataset(root, 'ss', split='test')
    info = data.get_data_info(0)
    folder = f'{root}/VPO-SS'
    assert info['img_path'] == f'{folder}/data/tennis racket/000000000007.jpg'
    assert info['seg_map_path'] == (
        f'{folder}/mask/tennis racket/000000000007_000000000009.png'
    )
    assert info['sample_id'] == 'tennis racket/000000000007_000000000009/0'
    audio = data[0]['data_samples'].audio
    np.testing.assert_allclose(audio, 0.4, atol=1e-6)


def test_a_tenth_of_train_is_held_out(root):
    train, val = (dataset(root, split=s) for s in ('train', 'val'))
    assert (len(train), len(val)) == (18, 2)
    everything = dataset(root, holdout=0)
    assert sorted(uids(train) + uids(val)) == uids(everything)
    assert len(everything) == 20
    halves = [
        set(uids(dataset(root, split='val', holdout=0.5))) for _ in range(2)
    ]
    assert halves[0] == halves[1] != set(uids(everything)) - halves[0]
    # MSMI holds its images out by the same rule.
    assert uids(dataset(root, 'msmi', split='val')) == uids(val)


def test_fewer_classes_can_be_chosen(root):
    chosen = {'classes': ['background', 'car', 'dog']}
    data = dataset(root, split='test', metainfo=chosen)
    label = data[0]['data_samples'].gt_sem_seg.data[0, 0].tolist()
    assert label == [0, 2, 1, 255]


def test_classes_are_those_published():
    assert len(CLASSES) == 22 and list(CLASSES[1:]) == sorted(CLASSES[1:])
    assert (CLASSES[7], CLASSES[11], CLASSES[21]) == (
        'cell phone', 'female', 'zebra'
    )  # fmt: skip


# The re-organized form


@pytest.fixture
def reorganised(tmp_path):
    root = tmp_path / 'reorganised'
    rows = ['uid,frame,mask,category,split,type']
    for number, (kind, split) in enumerate(
        [('VPO-SS', 'train'), ('VPO-SS', 'test'), ('VPO-MS', 'test')]
    ):
        folder = root / kind / f'u{number}'
        for part in ('frames', 'labels_semantic'):
            (folder / part).mkdir(parents=True)
        picture = np.full((4, 3, 3), 50, np.uint8)
        cv2.imwrite(str(folder / 'frames/7.jpg'), picture)
        label = np.uint8([[0, 21, number + 1]] * 4)
        cv2.imwrite(str(folder / 'labels_semantic/7.png'), label)
        stereo = np.tile([0.1, 0.3], (3 * RATE, 1))
        soundfile.write(folder / 'stereo_audio.wav', stereo, RATE)
        soundfile.write(folder / 'mono_audio.wav', stereo.sum(1), RATE)
        rows.append(f'u{number},7.jpg,7.png,dog,{split},{kind}')
    (root / 'vpo_data_clean.csv').write_text('\n'.join(rows))
    return root


def test_reorganised_form_is_read(reorganised):
    data = dataset(
        reorganised, 'ss', split='test', layout='reorganised', test_mode=True
    )
    assert uids(data) == ['u1/7'] and not data.missing_files()
    sample = data[0]['data_samples']
    assert sample.gt_sem_seg.data[0, 0].tolist() == [0, 21, 2]
    assert sample.audio.shape == (2, 48_000)
    np.testing.assert_allclose(sample.audio.mean(1), [0.1, 0.3], atol=1e-4)
    mono = dataset(
        reorganised, 'ms', 'mono', split='test', layout='reorganised'
    )
    np.testing.assert_allclose(mono[0]['data_samples'].audio, 0.4, atol=1e-4)


# What can be wrong


def test_missing_recordings_and_folders_are_named(copy):
    audio = copy / 'vggsound_bench/VGGSound/audios/car_a.wav'
    audio.rename(copy / 'car_a.wav')
    with pytest.raises(DatasetNotFoundError, match='1 of 2 recordings') as e:
        dataset(copy, split='test')
    assert str(audio) in str(e.value) and 'audio_root' in str(e.value)
    # Training does not need it.
    assert len(dataset(copy)) == 18
    shutil.rmtree(copy / 'VPO-MS')
    with pytest.raises(DatasetNotFoundError, match='needs VPO-MS beside it'):
        dataset(copy, 'msmi', split='train')
    with pytest.raises(DatasetNotFoundError, match='vpo_ms_data_stereo.csv'):
        dataset(copy)


def test_recordings_may_lie_elsewhere(copy, tmp_path):
    (copy / 'vggsound_bench').rename(tmp_path / 'elsewhere')
    audios = str(tmp_path / 'elsewhere/VGGSound/audios')
    data = dataset(copy, split='test', audio_root=audios)
    assert data[0]['data_samples'].audio.any()


def test_every_missing_file_is_found(copy):
    lost = [
        copy / 'VPO-MS/data/000000000101.jpg',
        copy / 'VPO-MS/mask/000000000101.png',
        copy / 'vggsound_bench/VGGSound/audios/car_a.wav',
    ]
    data = dataset(copy, split='test')
    assert data.missing_files() == []
    for path in lost:
        path.unlink()
    assert data.missing_files() == [str(path) for path in lost]


def test_skipping_counts_the_recording_at_fault(copy):
    data = dataset(copy, holdout=0, skip_unreadable=1)
    bad = copy / 'vggsound_bench/VGGSound/audios/dog3.wav'
    bad.write_bytes(b'')
    sample = data[2]['data_samples']
    assert sample.uid == '000000000004'
    assert sample.skipped == (('000000000003/0', str(bad)),)
    with pytest.raises(SampleReadError, match='dog3.wav: the file is empty'):
        dataset(copy, holdout=0)[2]


def test_early_releases_serve_mono_only(copy):
    file = copy / 'VPO-MS/vpo_ms_data_stereo.csv'
    rows = [row.split(',') for row in file.read_text().split()]
    rows = [','.join(row[:5] + row[6:]) for row in rows]
    file.write_text('\n'.join(rows))
    mono = dataset(copy, channels='mono', split='test')
    assert mono[0]['data_samples'].audio.shape[0] == 1
    with pytest.raises(SampleReadError, match='audio_pos'):
        dataset(copy, split='test')[0]


def test_images_in_both_splits_are_told(copy, monkeypatch):
    told = []
    monkeypatch.setattr(
        'mmcpm.datasets.vpo.print_log', lambda text, **_: told.append(text)
    )
    dataset(copy)
    assert not told
    with open(copy / 'VPO-SS/vpo_ss_data_stereo.csv', 'a') as stream:
        stream.write('7,10,tennis racket,43,phone,0.5,train\n')
    write_image(
        copy / 'VPO-SS', 'tennis racket', f'{7:012}', f'{7:012}_{10:012}', [0]
    )
    dataset(copy, 'ss', holdout=0)
    assert len(told) == 1
    assert '1 images are in train and' in told[0] and '007' in told[0]


@pytest.mark.parametrize(
    ('arguments', 'match'),
    [
        ({'subset': 'ssms'}, "subset must be one of .* got 'ssms'"),
        ({'split': 'valid'}, "split .* got 'valid'"),
        ({'layout': 'zip'}, "layout .* got 'zip'"),
        ({'holdout': 1.0}, 'holdout=1.0'),
        ({'holdout': 0, 'split': 'val'}, 'VPO has no validation split'),
    ],
)
def test_arguments_that_cannot_be_meant(arguments, match):
    with pytest.raises(ValueError, match=match):
        VPODataset(**{'data_root': 'absent', 'subset': 'ss', **arguments})


def test_an_empty_selection_is_told(root):
    with pytest.raises(DatasetIndexError, match='no sample of VPO-SS'):
        dataset(root, 'ss')
