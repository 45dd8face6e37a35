import shutil

import cv2
import numpy as np
import pytest
import soundfile
import torch

from mmcpm.datasets import AVSBenchObjectDataset, SampleReadError
from mmcpm.datasets.errors import DatasetIndexError, DatasetNotFoundError

PIPELINE = [
    dict(type='LoadFrameFromFile'),
    dict(type='LoadAudioFromFile'),
    dict(type='CutAudioToFrame'),
    dict(type='LoadBinaryAnnotations'),
    dict(type='PackAVSInputs'),
]
S4 = (
    ('-x_0_5000', 'dog_barking', 'train'),
    ('y', 'horse_clip-clop', 'train'),
    ('v', 'dog_barking', 'val'),
    ('t', 'dog_barking', 'test'),
)
MS3 = (('a_0', 'train'), ('a_1', 'train'), ('b', 'val'), ('c', 'test'))


def write_files(frames, masks, sound, labeled, sine_second):
    """Frame i (from 1) is of gray 40 i; its mask has 6 i white pixels."""
    for path in (*frames, *masks, sound):
        path.parent.mkdir(parents=True, exist_ok=True)
    for number, (frame, mask) in enumerate(
        zip(frames, masks, strict=True), start=1
    ):
        cv2.imwrite(str(frame), np.full((8, 12, 3), 40 * number, np.uint8))
        white = np.zeros((8, 12), np.uint8)
        white[:number, :6] = 255
        if number <= labeled:
            cv2.imwrite(str(mask), white)
    seconds = np.concatenate([sine_second(i) for i in range(5)])
    soundfile.write(sound, seconds, 16000)


@pytest.fixture(scope='module')
def roots(tmp_path_factory, sine_second):
    """Data roots of S4 and MS3, written as the archives tell."""
    s4 = tmp_path_factory.mktemp('object') / 'Single-source'
    for name, category, split in S4:
        place = f'{split}/{category}/{name}'
        data = s4 / 's4_data'
        write_files(
            [
                data / f'visual_frames/{place}/{name}_{i}.png'
                for i in range(1, 6)
            ],
            [data / f'gt_masks/{place}/{name}_{i}.png' for i in range(1, 6)],
            data / f'audio_wav/{place}.wav',
            1 if split == 'train' else 5,
            sine_second,
        )
    rows = ''.join(f'{n},4,{category},{s}\n' for n, category, s in S4)
    (s4 / 's4_meta_data.csv').write_text('name,start,category,split\n' + rows)
    ms3 = s4.parent / 'Multi-sources'
    for name, split in MS3:
        data = ms3 / 'ms3_data'
        write_files(
            [
                data / f'visual_frames/{name}/{name}.mp4_{i}.png'
                for i in range(1, 6)
            ],
            [
                data / f'gt_masks/{split}/{name}/{name}_{i}.png'
                for i in range(1, 6)
            ],
            data / f'audio_wav/{split}/{name}.wav',
            5,
            sine_second,
        )
    rows = ''.join(f'{name},{split}\n' for name, split in MS3)
    (ms3 / 'ms3_meta_data.csv').write_text('video_id,split\n' + rows)
    return {'s4': s4, 'ms3': ms3}


@pytest.fixture
def copies(roots, tmp_path):
    return {
        subset: shutil.copytree(root, tmp_path / subset)
        for subset, root in roots.items()
    }


def dataset(roots, subset, **kwargs):
    return AVSBenchObjectDataset(
        data_root=str(roots[subset]), subset=subset, **kwargs
    )


def sample_ids(data):
    return [data.get_data_info(i)['sample_id'] for i in range(len(data))]


def test_only_the_first_frame_of_s4_training_clips_is_labeled(roots):
    wanted = ['dog_barking/-x_0_5000/0', 'horse_clip-clop/y/0']
    assert sample_ids(dataset(roots, 's4', frame_sampling='all')) == wanted
    drawn = dataset(roots, 's4')
    for _ in range(20):
        assert sample_ids(drawn) == wanted
    assert drawn.missing_files() == []


@pytest.mark.parametrize('split', ['val', 'test'])
def test_every_labeled_frame_is_tested(roots, split):
    clip = {'val': 'v', 'test': 't'}[split]
    data = dataset(roots, 's4', split=split, test_mode=True)
    assert sample_ids(data) == [f'dog_barking/{clip}/{i}' for i in range(5)]
    clip = {'val': 'b', 'test': 'c'}[split]
    data = dataset(roots, 'ms3', split=split, test_mode=True)
    assert sample_ids(data) == [f'{clip}/{i}' for i in range(5)]


def test_ms3_trains_on_a_drawn_frame_or_on_all(roots):
    drawn = dataset(roots, 'ms3')
    torch.manual_seed(0)
    seen = [set(), set()]
    for _ in range(40):
        for clip, sample_id in enumerate(sample_ids(drawn)):
            assert sample_id.startswith(f'a_{clip}/')
            seen[clip].add(int(sample_id[-1]))
    assert seen == [set(range(5))] * 2
    assert len(dataset(roots, 'ms3', frame_sampling='all')) == 10


def test_samples_name_what_sounds(roots):
    """A category in S4; in MS3 the video, of which both clips are cut."""
    names = {
        subset: [
            dataset(roots, subset).get_data_info(i)['sound_sources']
            for i in range(2)
        ]
        for subset in ('s4', 'ms3')
    }
    assert names == {
        's4': [('dog_barking', '-x'), ('horse_clip-clop', 'y')],
        'ms3': [('a',), ('a',)],
    }


def test_paths_are_those_of_the_archives(roots):
    info = dataset(roots, 's4', split='val').get_data_info(2)
    data = f'{roots["s4"]}/s4_data'
    place = 'val/dog_barking/v'
    assert info['img_path'] == f'{data}/visual_frames/{place}/v_3.png'
    assert info['seg_map_path'] == f'{data}/gt_masks/{place}/v_3.png'
    assert info['audio_path'] == f'{data}/audio_wav/{place}.wav'
    info = dataset(roots, 'ms3', split='val').get_data_info(2)
    data = f'{roots["ms3"]}/ms3_data'
    assert info['img_path'] == f'{data}/visual_frames/b/b.mp4_3.png'
    assert info['seg_map_path'] == f'{data}/gt_masks/val/b/b_3.png'
    assert info['audio_path'] == f'{data}/audio_wav/val/b.wav'
    assert (info['uid'], info['subset']) == ('b', 'ms3')


@pytest.mark.parametrize('subset', ['s4', 'ms3'])
@pytest.mark.usefixtures('mmseg_scope')
def test_frame_mask_and_second_belong_together(roots, sine_second, subset):
    data = dataset(
        roots, subset, split='test', test_mode=True, pipeline=PIPELINE
    )
    for index in range(5):
        sample = data[index]
        truth = sample['data_samples']
        assert (sample['inputs'] == 40 * (index + 1)).all()
        label = truth.gt_sem_seg.data[0]
        assert set(label.unique().tolist()) == {0, 1}
        assert label.sum() == 6 * (index + 1)
        np.testing.assert_allclose(
            truth.audio[0], sine_second(index), atol=1e-4
        )


def test_short_sound_is_continued_with_silence(copies, mmseg_scope):
    path = copies['ms3'] / 'ms3_data/audio_wav/test/c.wav'
    wave, rate = soundfile.read(path)
    soundfile.write(path, wave[: 3 * rate + 4000], rate)
    data = dataset(copies, 'ms3', split='test', pipeline=PIPELINE)
    valid = [data[i]['data_samples'].audio_valid_samples for i in range(5)]
    assert valid == [16000, 16000, 16000, 4000, 0]


# What can be wrong


def test_missing_folders_and_files_are_named(copies):
    shutil.rmtree(copies['s4'] / 's4_data/gt_masks/val/dog_barking/v')
    with pytest.raises(DatasetNotFoundError) as error:
        dataset(copies, 's4', split='val')
    assert '1 of 1 folders of masks (s4, val)' in str(error.value)
    assert 'gt_masks/val/dog_barking/v' in str(error.value)
    lost = copies['ms3'] / 'ms3_data/visual_frames/a_1/a_1.mp4_4.png'
    lost.unlink()
    assert dataset(copies, 'ms3').missing_files() == [str(lost)]


def test_the_folder_above_is_recognized(roots):
    with pytest.raises(DatasetNotFoundError, match='mean .*Single-source'):
        AVSBenchObjectDataset(data_root=str(roots['s4'].parent), subset='s4')
    with pytest.raises(DatasetNotFoundError, match='No data root at'):
        AVSBenchObjectDataset(data_root='absent', subset='s4')


@pytest.mark.parametrize(
    ('content', 'match'),
    [
        ('video_id,split\n', r'none of its 0 rows .*train'),
        ('video_id,split\na_0,training\n', "line 2 .*'training'"),
        ('video_id,split\na_0,train\na_0,train\n', 'lines 2, 3'),
        ('\udcff', 'UTF-8'),
    ],
)
def test_bad_index_files_are_named(copies, content, match):
    file = copies['ms3'] / 'ms3_meta_data.csv'
    file.write_bytes(content.encode('utf-8', 'surrogateescape'))
    with pytest.raises(DatasetIndexError, match=match) as error:
        dataset(copies, 'ms3')
    assert str(file) in str(error.value)


def test_a_spreadsheet_file_and_extra_files_do_no_harm(copies):
    root = copies['ms3']
    file = root / 'ms3_meta_data.csv'
    rows = file.read_text().replace(',', ';').replace('\n', '\r\n')
    file.write_text(rows, encoding='utf-8-sig')
    folder = root / 'ms3_data/gt_masks/train/a_0'
    for number in range(2000):
        (folder / f'._{number}.png').touch()
    data = dataset(copies, 'ms3', frame_sampling='all')
    assert len(data) == 10 and not data.missing_files()


def test_links_are_followed(copies):
    data = copies['ms3'] / 'ms3_data'
    data.rename(copies['ms3'] / 'big_disk')
    data.symlink_to(copies['ms3'] / 'big_disk')
    assert not dataset(copies, 'ms3').missing_files()


def test_sizes_that_differ_are_refused(copies, mmseg_scope):
    path = copies['s4'] / 's4_data/gt_masks/val/dog_barking/v/v_1.png'
    cv2.imwrite(str(path), np.zeros((12, 8), np.uint8))
    data = dataset(copies, 's4', split='val', pipeline=PIPELINE)
    with pytest.raises(SampleReadError, match='v_1.png is 12 x 8') as error:
        data[0]
    assert 'Sample dog_barking/v/0' in str(error.value)


@pytest.mark.parametrize(
    ('arguments', 'match'),
    [
        ({'subset': 'v1s'}, "subset must be one of .* got 'v1s'"),
        ({'subset': 's4', 'split': 'dev'}, "split .* got 'dev'"),
        (
            {'subset': 's4', 'split': 'val', 'frame_sampling': 'random'},
            "frame_sampling='random' with split='val'",
        ),
        ({'subset': 's4', 'frame_sampling': 'x'}, "frame_sampling='x'"),
    ],
)
def test_arguments_that_cannot_be_meant(arguments, match):
    with pytest.raises(ValueError, match=match):
        AVSBenchObjectDataset(data_root='absent', **arguments)
