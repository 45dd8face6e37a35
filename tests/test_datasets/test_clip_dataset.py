"""Clips of T frames: which, in what state, and augmented alike."""

import copy
import pickle
import random
import shutil

import cv2
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmcv.transforms import BaseTransform
from mmengine.dataset import RepeatDataset
from mmseg.registry import DATASETS, TRANSFORMS
from torch.utils.data import DataLoader

from mmcpm.datasets import AVSBenchSemanticDataset, clip_collate
from mmcpm.datasets.errors import SampleReadError
from mmcpm.engine.hooks.epoch_seed_hook import (
    epoch_seed,
    seed_everything,
    seed_worker,
)

LOAD = [
    dict(type='LoadFrameFromFile'),
    dict(type='LoadAudioFromFile'),
    dict(type='CutAudioToFrame'),
    dict(type='LoadAVSAnnotations'),
    dict(type='RecordSoundingClasses'),
]
PACK = dict(type='PackAVSInputs')
RANDOM = {
    'rescale': dict(type='RandomRescale', ratio_range=(0.5, 2.0)),
    'crop': dict(type='RandomCrop', crop_size=(20, 24), cat_max_ratio=0.6),
    'flip': dict(type='RandomFlip', prob=0.5),
    'swap': dict(type='SwapStereoOnFlip'),
    'colors': dict(type='PhotoMetricDistortion'),
    'rotate': dict(type='RandomRotate', prob=0.5, degree=20),
    'apply': dict(
        type='RandomApply',
        prob=0.5,
        transforms=[dict(type='RandomCutOut', prob=1.0, n_holes=3,
                         cutout_shape=(4, 4))],
    ),
}  # fmt: skip


@TRANSFORMS.register_module(force=True)
class QuietRight(BaseTransform):
    def transform(self, results):
        results['audio'] = results['audio'] * [[1.0], [0.5]]
        return results


pytestmark = pytest.mark.usefixtures('mmseg_scope')


def clips(root, clip_length, pipeline=None, **kwargs):
    return dict(
        type='ClipDataset',
        clip_length=clip_length,
        dataset=dict(
            type='AVSBenchSemanticDataset',
            data_root=str(root),
            pipeline=pipeline or [*LOAD, PACK],
            **kwargs,
        ),
    )


def build(*args, **kwargs):
    return DATASETS.build(clips(*args, **kwargs))


def flags(clip):
    samples = [frame['data_samples'] for frame in clip]
    return [(s.sample_id, s.frame_valid, s.labeled) for s in samples]


# Which frames


def test_a_long_clip_gives_several_samples(avss_root):
    data = build(avss_root, 5, subset='v2', split='test', test_mode=True)
    assert len(data) == 2
    for number, clip in enumerate(data):
        frames = range(5 * number, 5 * number + 5)
        assert flags(clip) == [(f'-test2_0_10000/{i}', True, True)
                               for i in frames]  # fmt: skip
        for i, frame in zip(frames, clip, strict=True):
            # Frame i is of the gray 20 + 20 i, see conftest.
            assert abs(frame['inputs'].float().mean() - 20 - 20 * i) < 2
    with pytest.raises(IndexError, match='clip 2 of a dataset of 2'):
        data[2]


def test_a_short_clip_is_filled_up(avss_root, sine_second):
    data = build(avss_root, 7, subset='v1m', split='test', test_mode=True)
    (clip,) = data
    frames = [(f'test1m_0/{i}', True, True) for i in range(5)]
    padding = [(f'test1m_0/padding_{i}', False, False) for i in (5, 6)]
    assert flags(clip) == frames + padding
    for number, frame in enumerate(clip):
        sample = frame['data_samples']
        assert sample.clip_length == 7 and sample.frame_index == number
        real = number < 5
        labels = set(sample.gt_sem_seg.data.unique().tolist())
        assert labels == ({0, 11, 12} if real else {255})
        assert bool(frame['inputs'].any()) == bool(sample.audio.any()) == real
        assert ('audio_labels' in sample) == real
        if real:
            np.testing.assert_allclose(
                sample.audio[0], sine_second(number), atol=1e-4
            )


@pytest.mark.parametrize('sampling', ['random', 'all'])
def test_frames_without_a_label_are_read(avss_root, sampling):
    """Training clips of v1s: only the first frame is labeled."""
    data = build(avss_root, 5, subset='v1s', frame_sampling=sampling)
    assert len(data) == 2
    uid = '__GOGlHL23s_4000_9000'
    assert flags(data[0]) == [(f'{uid}/{i}', True, i == 0) for i in range(5)]
    for number, frame in enumerate(data[0]):
        sample = frame['data_samples']
        labels = set(sample.gt_sem_seg.data.unique().tolist())
        assert labels == ({0, 1, 2} if number == 0 else {255})
        assert frame['inputs'].any() and sample.audio.any()
        assert ('audio_labels' in sample) == (number == 0)
        assert 'seg_map_path' not in sample or number == 0
    assert data.get_cat_ids(0) == [1, 2]
    # Three of five frames: the other two have no label, and are left out.
    assert len(build(avss_root, 3, subset='v1s')) == 2


def test_lengths(avss_root):
    """Training: 2 clips of v1s, 2 of v1m, 2 of v2 (see conftest)."""
    for clip_length, number in ((1, 32), (2, 18), (5, 8), (10, 6)):
        assert len(build(avss_root, clip_length)) == number


def test_one_frame_is_the_plain_dataset(avss_root, assert_same):
    steps = [*LOAD, RANDOM['crop'], RANDOM['flip'], RANDOM['colors'], PACK]
    data = build(avss_root, 1, steps, frame_sampling='all')
    plain = data.dataset
    assert len(data) == len(plain) == 32
    for index in (0, 5, 31):
        seed_everything(index)
        (one,) = data[index]
        seed_everything(index)
        other = plain[index]
        assert torch.equal(one['inputs'], other['inputs'])
        assert_same(one['data_samples'].audio, other['data_samples'].audio)
        known = other['data_samples'].metainfo
        assert one['data_samples'].metainfo == {
            **known, 'clip_length': 1, 'frame_valid': True, 'labeled': True,
        }  # fmt: skip


def test_the_first_frame_draws_as_it_would_alone(avss_root):
    steps = [*LOAD, *RANDOM.values(), PACK]
    data = build(avss_root, 5, steps, subset='v2', frame_sampling='all')
    for index in range(2):
        seed_everything(index)
        first = data[index][0]
        seed_everything(index)
        alone = data.dataset[5 * index]
        assert torch.equal(first['inputs'], alone['inputs'])


def test_clips_of_images_are_refused(folder_root):
    settings = dict(
        type='AVSFolderDataset',
        data_root=str(folder_root),
        pipeline=[*LOAD, PACK],
    )
    data = DATASETS.build(
        dict(type='ClipDataset', clip_length=3, dataset=settings)
    )
    # Four clips of three frames, and a single one, which is filled up.
    assert len(data) == 5
    assert [flag[1:] for flag in flags(data[4])] == [
        (True, True), (False, False), (False, False),
    ]  # fmt: skip
    for clip in (folder_root / 'train').glob('*/c*'):
        shutil.rmtree(clip) if clip.is_dir() else clip.unlink()
    data = DATASETS.build(
        dict(type='ClipDataset', clip_length=3, dataset=settings)
    )
    with pytest.raises(ValueError, match='AVSFolderDataset has more than one'):
        len(data)


def test_only_datasets_of_clips_are_wrapped(avss_root):
    inner = build(avss_root, 5)
    with pytest.raises(TypeError, match='got a ClipDataset.*around ClipData'):
        DATASETS.build(dict(type='ClipDataset', dataset=inner, clip_length=5))
    with pytest.raises(ValueError, match='clip_length .* but is 0'):
        build(avss_root, 0)
    data = build(avss_root, 5, LOAD)
    with pytest.raises(ValueError, match='End it with PackAVSInputs'):
        data[0]


def test_other_wrappers_go_around(avss_root):
    parts = [clips(avss_root, 5, subset=name) for name in ('v1m', 'v2')]
    data = RepeatDataset(dict(type='ConcatDataset', datasets=parts), 2)
    assert len(data) == 12 and len(data[11]) == 5
    assert data[11][0]['data_samples'].sample_id == '_offscreen_0_10000/5'


# Batches


def test_collating(avss_root):
    data = build(avss_root, 5, subset='v1m')
    loader = DataLoader(data, 2, collate_fn=clip_collate)
    (batch,) = loader
    names = [sample.sample_id for sample in batch['data_samples']]
    assert names == [f'{c}/{i}' for c in ('m1_0', 'm2_1') for i in range(5)]
    assert len(batch['inputs']) == 10
    with pytest.raises(TypeError, match='Put ClipDataset around'):
        clip_collate([data.dataset[0]])


def test_views_of_test_time_augmentation(avss_root):
    views = dict(
        type='TestTimeAug',
        transforms=[[dict(type='RandomFlip', prob=p) for p in (0.0, 1.0)],
                    [PACK]],
    )  # fmt: skip
    data = build(avss_root, 7, [*LOAD, views], subset='v1m', split='val',
                 test_mode=True)  # fmt: skip
    batch = clip_collate([data[0]])
    assert [len(view) for view in batch['inputs']] == [7, 7]
    plain, mirrored = batch['data_samples']
    assert not any(s.flip for s in plain) and all(s.flip for s in mirrored)
    for view in batch['data_samples']:
        assert [s.frame_valid for s in view] == [True] * 5 + [False] * 2


# The same augmentation for all frames


@pytest.fixture(scope='module')
def alike(avss_root, tmp_path_factory):
    """Clips of one picture each; labels differ from frame to frame."""
    root = tmp_path_factory.mktemp('alike') / 'avss'
    shutil.copytree(avss_root, root)
    generator = np.random.default_rng(0)
    for path in sorted(root.glob('v2/*/frames/*.jpg')):
        picture = np.random.default_rng(7).integers(0, 255, (40, 48, 3))
        cv2.imwrite(str(path), picture)
        label = np.zeros((40, 48), np.uint8)
        edge = generator.integers(1, 40, 2)
        label[: edge[0], edge[1] :] = 5
        name = path.parents[1] / 'labels_semantic' / f'{path.stem}.png'
        cv2.imwrite(str(name), label)
    return root


@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.permutations(sorted(RANDOM)),
    st.integers(1, len(RANDOM)),
    st.integers(0, 2**32 - 1),
)
def test_random_steps_are_the_same_for_all_frames(alike, names, number, seed):
    steps = [RANDOM[name] for name in names[:number]]
    data = build(alike, 5, [*LOAD, *steps, PACK], subset='v2')
    seed_everything(seed)
    for _ in range(2):
        first, *others = data[1]
        for other in others:
            assert torch.equal(other['inputs'], first['inputs'])
            assert other['data_samples'].get('flip') == first[
                'data_samples'
            ].get('flip')


def test_clips_are_augmented_each_in_its_way(alike):
    steps = [*LOAD, RANDOM['crop'], RANDOM['flip'], RANDOM['colors'], PACK]
    data = build(alike, 5, steps, subset='v2')
    seed_everything(0)
    pictures = [data[0][0]['inputs'] for _ in range(6)]
    assert not any(torch.equal(pictures[0], other) for other in pictures[1:])


def test_stereo_follows_the_flip_of_its_clip(avss_root):
    load = [dict(s) for s in LOAD]
    load[1]['channels'] = 'stereo'
    quiet = dict(type='QuietRight')
    steps = [*load, quiet, RANDOM['flip'], RANDOM['swap'], PACK]
    data = build(avss_root, 5, steps, subset='v2')
    seed_everything(1)
    seen = set()
    for _ in range(4):
        for index in range(len(data)):
            clip = [frame['data_samples'] for frame in data[index]]
            flips = {sample.flip for sample in clip}
            assert len(flips) == 1
            for sample in clip:
                left, right = sample.audio.abs().amax(1)
                assert (left < right) == sample.flip
            seen |= flips
    assert seen == {True, False}


@pytest.mark.parametrize('workers', [0, 2])
def test_an_epoch_is_repeated_exactly(alike, workers):
    """As EpochSeedHook seeds it, whatever happened before."""
    steps = [*LOAD, RANDOM['crop'], RANDOM['flip'], RANDOM['colors'], PACK]

    def epoch(number):
        data = build(alike, 5, steps, subset='v2')
        loader = DataLoader(
            data, 1, shuffle=True, collate_fn=clip_collate,
            num_workers=workers, worker_init_fn=seed_worker,
        )  # fmt: skip
        seed_everything(epoch_seed(3, number, 0))
        return [torch.stack(batch['inputs']) for batch in loader]

    before = epoch(0), epoch(1)
    random.random(), np.random.rand(), torch.rand(3)
    again = epoch(1)
    assert all(
        torch.equal(x, y) for x, y in zip(before[1], again, strict=True)
    )
    assert not all(
        torch.equal(x, y) for x, y in zip(before[0], again, strict=True)
    )
    for batch in again:
        assert all(torch.equal(frame, batch[0]) for frame in batch)


def test_a_read_dataset_can_be_sent_to_a_worker(alike):
    steps = [*LOAD, *RANDOM.values(), PACK]
    data = build(alike, 5, steps, subset='v2')
    data[0]
    for other in (pickle.loads(pickle.dumps(data)), copy.deepcopy(data)):
        seed_everything(0)
        one = data[1]
        seed_everything(0)
        assert torch.equal(other[1][3]['inputs'], one[3]['inputs'])


# Files


def test_files_of_frames_without_a_label_are_looked_for(avss_copy):
    frame = avss_copy / 'v1s/__GOGlHL23s_4000_9000/frames/3.jpg'
    frame.unlink()
    assert build(avss_copy, 5).dataset.missing_files() == [str(frame)]
    assert build(avss_copy, 1).dataset.missing_files() == []
    data = build(avss_copy, 5)
    with pytest.raises(SampleReadError, match='4000_9000/3: Cannot read the'):
        data[0]


def test_an_unreadable_frame_may_be_left_out(avss_copy):
    frames = avss_copy / 'v1m/m1_0/frames'
    for name in ('0.jpg', '2.jpg'):
        (frames / name).write_bytes(b'')
    with pytest.raises(SampleReadError, match='m1_0/0.*skip_unreadable=N'):
        build(avss_copy, 5, subset='v1m')[0]
    data = build(avss_copy, 5, subset='v1m', skip_unreadable=2)
    clip = data[0]
    assert flags(clip) == [
        (f'm1_0/{i}', i not in (0, 2), i not in (0, 2)) for i in range(5)
    ]
    for i in (0, 2):
        assert not clip[i]['inputs'].any()
        assert not clip[i]['data_samples'].audio.any()
        assert clip[i]['data_samples'].frame_index == i
    assert clip[0]['data_samples'].skipped == tuple(
        (f'm1_0/{i}', str(frames / f'{i}.jpg')) for i in (0, 2)
    )
    with pytest.raises(SampleReadError, match='More than skip_unreadable=1'):
        build(avss_copy, 5, subset='v1m', skip_unreadable=1)[0]


def test_a_clip_without_a_readable_label_is_replaced(avss_copy):
    label = avss_copy / 'v1s/__GOGlHL23s_4000_9000/labels_semantic/0.png'
    label.write_bytes(b'')
    data = build(avss_copy, 5, subset='v1s', skip_unreadable=1)
    clip = data[0]
    assert clip[0]['data_samples'].sample_id == 'zVfLHhs9uv8_3000_8000/0'
    skipped = clip[0]['data_samples'].skipped
    assert skipped == (('__GOGlHL23s_4000_9000/0', str(label)),)


def test_frames_of_the_protocol_are_those_of_the_dataset(avss_root):
    data = build(avss_root, 7, split='test', test_mode=True)
    read = [name for clip in data for name, valid, _ in flags(clip) if valid]
    assert sorted(read) == sorted(data.dataset.sample_ids())
    plain = AVSBenchSemanticDataset(
        data_root=str(avss_root), split='test', test_mode=True
    )
    assert plain.sample_ids() == data.dataset.sample_ids()
    assert data.get_data_info(0)['sample_id'] == 'test1s_0_5000/0'
    assert data.metainfo == data.dataset.metainfo
