import shutil

import cv2
import numpy as np
import pytest
import soundfile

from mmcpm.datasets import (
    AVSFolderDataset,
    DatasetIndexError,
    DatasetNotFoundError,
    SampleReadError,
)

PIPELINE = [
    dict(type='LoadFrameFromFile'),
    dict(type='LoadAudioFromFile'),
    dict(type='CutAudioToFrame'),
    dict(type='LoadAVSAnnotations'),
    dict(type='RecordSoundingClasses'),
    dict(type='PackAVSInputs'),
]
RATE = 16000

pytestmark = pytest.mark.usefixtures('mmseg_scope')


def build(root, **kwargs):
    return AVSFolderDataset(
        data_root=str(root), **{'pipeline': PIPELINE, **kwargs}
    )


def heard(sample):
    """Value of the window's sound, which is constant."""
    audio = sample['data_samples'].audio
    assert audio.shape == (1, RATE)
    return round(float(audio.mean()), 4)


def test_frames_meet_their_labels_and_seconds(folder_root):
    data = build(folder_root)
    assert data.metainfo['classes'] == ('background', 'dog', 'cell phone')
    assert data.metainfo['palette'] == [[0, 0, 0], [255, 0, 0], [0, 255, 0]]
    samples = [data[i] for i in range(len(data))]
    ids = [s['data_samples'].sample_id for s in samples]
    assert ids == [
        *(f'c{n}/{i}' for n in range(4) for i in range(3)),
        'single/0',
    ]
    for number, sample in enumerate(samples):
        assert sample['inputs'].unique().tolist() == [10 * number]
        label = sample['data_samples'].gt_sem_seg.data[0]
        assert (label[:, :16] == 1).all() and (label[12:, 16:] == 2).all()
        assert sample['data_samples'].audio_labels == (1, 2)
        assert sample['data_samples'].uid == ids[number].split('/')[0]
        second = 0.5 if number == 12 else 0.1 * (number % 3 + 1)
        assert heard(sample) == pytest.approx(second, abs=1e-3)
    assert data.missing_files() == []
    assert data.sample_ids() == ids
    info = data.get_data_info(12)
    assert info['sound_sources'] == ('single',)


def test_stereo_is_a_matter_of_the_pipeline(folder_root):
    left, right = np.full(RATE, 0.1), np.full(RATE, 0.3)
    path = folder_root / 'train/audio/single.wav'
    soundfile.write(path, np.stack([left, right], 1), RATE)
    pipeline = [dict(step) for step in PIPELINE]
    pipeline[1]['channels'] = 'stereo'
    audio = build(folder_root, pipeline=pipeline)[12]['data_samples'].audio
    assert audio.mean(1).tolist() == pytest.approx([0.1, 0.3], abs=1e-3)
    assert heard(build(folder_root)[12]) == pytest.approx(0.2, abs=1e-3)


def test_numbers_from_one_and_names_with_text(folder_root):
    for part in ('frames', 'labels'):
        clip = folder_root / 'train' / part / 'c0'
        for number in (2, 1, 0):
            name = clip / f'{number}.png'
            name.rename(clip / f'img_{number + 1:04}.png')
    data = build(folder_root)
    assert data.sample_ids()[:3] == [f'c0/img_000{n}' for n in (1, 2, 3)]
    for index, second in enumerate((0.1, 0.2, 0.3)):
        assert heard(data[index]) == pytest.approx(second, abs=1e-3)


def test_numbers_count_at_a_rate_of_their_own(folder_root):
    for part in ('frames', 'labels'):
        clip = folder_root / 'train' / part / 'c0'
        for old, new in ((2, 50), (1, 13)):
            (clip / f'{old}.png').rename(clip / f'{new}.png')
    data = build(folder_root, frames_per_second=25)
    # Seconds 0, 0.52 and 2; of the second window, 0.48 s sound as the first.
    found = [heard(data[i]) for i in range(3)]
    assert found == pytest.approx([0.1, 0.48 * 0.1 + 0.52 * 0.2, 0.3], 1e-2)


def test_a_sound_of_every_frame(folder_root):
    audio = folder_root / 'train/audio'
    (audio / 'c1.wav').unlink()
    (audio / 'c1').mkdir()
    for part in ('frames', 'labels'):  # Numbers tell nothing then.
        clip = folder_root / 'train' / part / 'c1'
        (clip / '2.png').rename(clip / 'last.png')
    for number, name in enumerate(('0', '1', 'last')):
        wave = np.full(RATE // 2, 0.2 * (number + 1))
        soundfile.write(audio / f'c1/{name}.flac', wave, RATE)
    data = build(folder_root)
    by_id = dict(zip(data.sample_ids(), range(len(data)), strict=True))
    for number, name in enumerate(('0', '1', 'last')):
        # Half a second sounds, the rest is silence.
        expected = 0.1 * (number + 1)
        sample = data[by_id[f'c1/{name}']]
        assert heard(sample) == pytest.approx(expected, abs=1e-3)


def test_capitals_and_hidden_files(folder_root):
    train = folder_root / 'train'
    (train / 'frames/single.png').rename(train / 'frames/single.PNG')
    (train / 'audio/c0.wav').rename(train / 'audio/c0.WAV')
    for name in ('.DS_Store', 'c0/._0.png', 'Thumbs.db', '.cache/0.png'):
        path = train / 'frames' / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b'x')
    data = build(folder_root)
    assert len(data) == 13
    assert heard(data[0]) == pytest.approx(0.1, abs=1e-3)
    assert data[12]['inputs'].shape == (3, 24, 32)


def test_metainfo_chooses_classes_of_the_list(folder_root):
    chosen = dict(classes=('background', 'cell phone'))
    data = build(folder_root, metainfo=chosen)
    assert data.metainfo['palette'] == [[0, 0, 0], [0, 255, 0]]
    label = data[0]['data_samples'].gt_sem_seg.data[0]
    assert (label[12:, 16:] == 1).all() and (label[:, :16] == 255).all()
    # The class itself has no classes: instances share none.
    assert len(build(folder_root).metainfo['classes']) == 3
    with pytest.raises(ValueError, match='not a subset'):
        build(folder_root, metainfo=dict(classes=('background', 'cow')))


DAMAGES = {
    'frame without label': (
        lambda d: (d / 'labels/c0/1.png').unlink(),
        ['train/frames/c0/1.png: no label labels/c0/1.png', 'label of zeros'],
    ),
    'label without frame': (
        lambda d: (d / 'frames/single.png').unlink(),
        ['train/labels/single.png: no frame', 'same name'],
    ),
    'frame without sound': (
        lambda d: (d / 'audio/c2.wav').unlink(),
        ['frames/c2/0.png: no sound audio/c2/0.wav nor audio/c2.wav'],
    ),
    'two sounds of one name': (
        lambda d: shutil.copy(d / 'audio/c0.wav', d / 'audio/c0.mp3'),
        ['audio/c0.wav: audio/c0.mp3 has the same name', 'Keep one'],
    ),
    'sound of the clip and of the frame': (
        lambda d: (
            (d / 'audio/c0').mkdir(),
            shutil.copy(d / 'audio/c0.wav', d / 'audio/c0/1.wav'),
        ),
        ['frames/c0/1.png: its sound may be audio/c0.wav and audio/c0/1.wav'],
    ),
    'frame and clip of one name': (
        lambda d: shutil.copy(d / 'frames/single.png', d / 'frames/c0.png'),
        ['frames/c0.png: so may the frames of the folder', 'rename'],
    ),
    'two frames of one name': (
        lambda d: shutil.copy(d / 'frames/c0/0.png', d / 'frames/c0/0.JPG'),
        ['frames/c0/0.png: frames/c0/0.JPG has the same name'],
    ),
    'gap': (
        lambda d: [
            (d / p / 'c0/1.png').unlink() for p in ('frames', 'labels')
        ],
        ['frames/c0: numbered 0 to 2, but frame 1 is missing', 'renumber'],
    ),
    'first frames missing': (
        lambda d: [
            (d / p / f'c0/{n}.png').unlink()
            for p in ('frames', 'labels')
            for n in (0, 1)
        ],
        ['numbered 2 to 2, but frame 1 is missing', 'frames_per_second'],
    ),
    'no number': (
        lambda d: [
            (d / p / 'c0/1.png').rename(d / p / 'c0/x.png')
            for p in ('frames', 'labels')
        ],
        ["frames/c0: no number at the end of the name 'x'"],
    ),
    'lossy label': (
        lambda d: (d / 'labels/single.png').rename(d / 'labels/single.jpg'),
        ['labels/single.jpg: expected a file of .png', 'Convert'],
    ),
}


@pytest.mark.parametrize('name', DAMAGES)
def test_bad_input_is_told_with_file_reason_and_remedy(folder_root, name):
    damage, told = DAMAGES[name]
    damage(folder_root / 'train')
    with pytest.raises(DatasetIndexError) as caught:
        build(folder_root)
    for text in (*told, f'folder.py {folder_root} --check'):
        assert text in str(caught.value)
    assert len(build(folder_root, split='val')) == 13


def test_missing_folders_and_lists(folder_root):
    with pytest.raises(DatasetNotFoundError, match='no such file') as caught:
        build(folder_root, split='dev')
    assert f'{folder_root}/dev/frames' in str(caught.value)
    with pytest.raises(ValueError, match='frames_per_second must be'):
        build(folder_root, frames_per_second=0)
    (folder_root / 'classes.txt').unlink()
    with pytest.raises(DatasetNotFoundError, match='class list') as caught:
        build(folder_root)
    assert 'one class name per line' in str(caught.value)
    (folder_root / 'names').write_text('a\nb\nc\n')
    data = build(folder_root, class_file='names')
    assert data.metainfo['classes'] == ('background', 'a', 'b', 'c')


def test_unlisted_ids_are_told_with_the_list(folder_root):
    path = folder_root / 'train/labels/single.png'
    label = cv2.imread(str(path), -1)
    cv2.imwrite(str(path), label + 2)
    with pytest.raises(SampleReadError) as caught:
        build(folder_root)[12]
    for text in (str(path), 'values 3, 4', f'{folder_root}/classes.txt'):
        assert text in str(caught.value)


def test_an_empty_split_is_refused(folder_root):
    for part in ('frames', 'labels', 'audio'):
        (folder_root / 'new' / part).mkdir(parents=True)
    with pytest.raises(DatasetIndexError, match='same name'):
        build(folder_root, split='new')
