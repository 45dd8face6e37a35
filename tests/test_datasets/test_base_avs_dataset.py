import pickle
import random
from collections import Counter

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.dataset import RepeatDataset, pseudo_collate
from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader

from mmcpm.datasets import AVSBenchSemanticDataset, BaseAVSDataset
from mmcpm.datasets.base_avs_dataset import draw_frame, find_missing_files
from mmcpm.datasets.errors import SampleReadError
from mmcpm.utils.errors import UsageError
from mmcpm.utils.preflight import check_files, name_settings

PIPELINE = [
    {'type': 'LoadFrameFromFile'},
    {'type': 'LoadAudioFromFile'},
    {'type': 'CutAudioToFrame'},
    {'type': 'LoadAVSAnnotations'},
    {'type': 'RecordSoundingClasses'},
    {'type': 'PackAVSInputs'},
]

pytestmark = pytest.mark.usefixtures('mmseg_scope')


def dataset(root, **kwargs):
    kwargs.setdefault('pipeline', PIPELINE)
    return AVSBenchSemanticDataset(data_root=str(root), **kwargs)


def sample_id(sample):
    return sample['data_samples'].sample_id


# The drawn frame


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 99), min_size=1, max_size=10),
    st.integers(0, 2**31),
    st.integers(0, 1000),
    st.text(min_size=1, max_size=20),
)
def test_drawn_frame_is_one_of_those_given(frames, seed, epoch, uid):
    frame = draw_frame(frames, seed=seed, epoch=epoch, uid=uid)
    assert frame in frames
    assert frame == draw_frame(frames, seed=seed, epoch=epoch, uid=uid)


def test_drawn_frame_is_the_same_in_every_process():
    # Written down once: Python's own hash differs between processes.
    drawn = [
        draw_frame(range(10), seed=3, epoch=epoch, uid='clip')
        for epoch in range(8)
    ]
    assert drawn == [7, 4, 9, 8, 1, 9, 7, 0]


def chi_square(counts, expected):
    return sum((count - expected) ** 2 / expected for count in counts)


@pytest.mark.parametrize('num_frames', [5, 10])
def test_drawn_frames_are_uniform(num_frames):
    counts = Counter(
        draw_frame(range(num_frames), seed=0, epoch=epoch, uid=f'clip{i}')
        for epoch in range(20)
        for i in range(500)
    )
    # The 99.9 % quantiles of chi-square with 4 and 9 degrees of freedom.
    limit = {5: 18.47, 10: 27.88}[num_frames]
    observed = [counts[i] for i in range(num_frames)]
    assert chi_square(observed, 10_000 / num_frames) < limit


@pytest.mark.parametrize(
    ('first', 'second'),
    [
        ({'epoch': 0}, {'epoch': 1}),
        ({'seed': 0}, {'seed': 1}),
        ({'seed': 0, 'epoch': 1}, {'seed': 1, 'epoch': 0}),
    ],
)
def test_draws_of_other_epochs_and_seeds_are_independent(first, second):
    pairs = Counter(
        tuple(
            draw_frame(
                range(5), uid=f'clip{i}', **{'seed': 0, 'epoch': 0, **k}
            )
            for k in (first, second)
        )
        for i in range(5000)
    )
    observed = [pairs[i, j] for i in range(5) for j in range(5)]
    # The 99.9 % quantile of chi-square with 24 degrees of freedom.
    assert chi_square(observed, 5000 / 25) < 51.18


def test_frames_do_not_depend_on_order_or_workers(avss_root):
    data = dataset(avss_root, seed=5)
    data.set_epoch(7)
    plain = {sample_id(data[i]) for i in range(len(data))}
    order = list(range(len(data)))
    random.Random(0).shuffle(order)
    assert {sample_id(data[i]) for i in order} == plain
    for num_workers in (1, 2):
        loader = DataLoader(
            data,
            batch_size=2,
            sampler=order,
            num_workers=num_workers,
            collate_fn=pseudo_collate,
        )
        ids = {s.sample_id for batch in loader for s in batch['data_samples']}
        assert ids == plain


def test_epoch_and_seed_change_the_frames(avss_root):
    data = dataset(avss_root, subset='v2')

    def drawn():
        return [data.get_data_info(i)['frame_index'] for i in range(2)]

    epochs = []
    for epoch in range(12):
        data.set_epoch(epoch)
        epochs.append(drawn())
    other = []
    data.seed = 1
    for epoch in range(12):
        data.set_epoch(epoch)
        other.append(drawn())
    assert len({tuple(frames) for frames in epochs}) > 6
    assert epochs != other
    data.seed = 0
    data.set_epoch(4)
    assert drawn() == epochs[4]


# Files that cannot be read


def damage(root, *uids):
    """Remove the sounds of clips."""
    for uid in uids:
        (next(root.glob(f'v*/{uid}')) / 'audio.wav').unlink()


def test_unreadable_file_ends_training(avss_copy):
    damage(avss_copy, 'm1_0')
    with pytest.raises(SampleReadError) as error:
        dataset(avss_copy, subset='v1m')[0]
    message = str(error.value)
    assert message.startswith('Sample m1_0/')
    assert f'{avss_copy}/v1m/m1_0/audio.wav' in message
    assert 'train_dataloader.dataset.skip_unreadable=N' in message
    assert error.value.path == f'{avss_copy}/v1m/m1_0/audio.wav'


def test_unreadable_file_ends_a_test(avss_copy):
    damage(avss_copy, 'test1m_0')
    data = dataset(avss_copy, split='test', test_mode=True)
    with pytest.raises(SampleReadError, match='Sample test1m_0/2') as error:
        data[7]
    # There is nothing to skip in a test.
    assert 'skip_unreadable' not in str(error.value)


LABEL = 'labels_semantic/0.png'


@pytest.mark.parametrize(
    ('kind', 'name', 'transform', 'fault'),
    [
        (kind, name, transform, fault)
        for kind, name, transform in (
            ('frame', 'frames/0.jpg', 'LoadImageFromFile'),
            ('frame', 'frames/0.jpg', 'LoadFrameFromFile'),
            ('label file', LABEL, 'LoadAnnotations'),
            ('label file', LABEL, 'LoadAVSAnnotations'),
            ('audio file', 'audio.wav', 'LoadAudioFromFile'),
        )
        for fault in ('missing', 'empty', 'cut')
        # OpenCV 4 fills the missing rows with grey.
        if (transform, fault) != ('LoadImageFromFile', 'cut')
    ],
)
def test_sample_file_and_remedy_are_named(
    avss_copy, kind, name, transform, fault
):
    file = avss_copy / 'v1s' / 'val1s_0_5000' / name
    content = file.read_bytes()
    if fault == 'missing':
        file.unlink()
    else:
        file.write_bytes(content[: len(content) // 2 * (fault == 'cut')])
    data = dataset(avss_copy, split='val', pipeline=[{'type': transform}])
    with pytest.raises(SampleReadError) as error:
        data[0]
    message = str(error.value)
    assert message.startswith('Sample val1s_0_5000/0: Cannot ')
    assert f'the {kind} {file}' in message
    assert 'archive' in message or 'labels_semantic, not' in message


def test_faults_of_other_transforms_are_not_hidden(avss_root):
    def broken(results):
        raise ZeroDivisionError('mine')

    data = dataset(avss_root, pipeline=[broken], skip_unreadable=100)
    with pytest.raises(ZeroDivisionError, match='mine'):
        data[0]


def test_transform_may_ask_for_another_sample(avss_root):
    asked = []

    def refuse_three(results):
        asked.append(results['sample_id'])
        return results if len(asked) > 3 else None

    data = dataset(avss_root, pipeline=[refuse_three])
    assert data[0]['sample_id'] == asked[-1]
    assert len(asked) == 4


def test_layout_is_the_subclass_matter(avss_root):
    with pytest.raises(NotImplementedError):
        BaseAVSDataset.frame_info(dataset(avss_root), {}, 0)


def test_lack_of_memory_is_not_the_fault_of_a_file(avss_root, monkeypatch):
    data = dataset(avss_root, skip_unreadable=100)

    def full(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr('mmengine.fileio.get', full)
    with pytest.raises(MemoryError):
        data[0]


def test_unreadable_sample_is_replaced_by_the_next(avss_copy):
    damage(avss_copy, 'm1_0')
    data = dataset(avss_copy, subset='v1m', skip_unreadable=1)
    assert sample_id(data[0]).startswith('m2_1/')
    assert sample_id(data[0]).startswith('m2_1/')
    assert sample_id(data[1]).startswith('m2_1/')


def test_each_unreadable_file_is_logged_once(avss_copy, monkeypatch):
    damage(avss_copy, 'm1_0')
    data = dataset(
        avss_copy, subset='v1m', frame_sampling='all', skip_unreadable=1
    )
    lines = []
    monkeypatch.setattr(
        'mmcpm.datasets.base_avs_dataset.print_log',
        lambda message, **kwargs: lines.append(message),
    )
    assert [sample_id(data[i]) for i in range(5)] == ['m2_1/0'] * 5
    assert len(lines) == 1
    assert f'{avss_copy}/v1m/m1_0/audio.wav' in lines[0]
    assert 'unreadable file 1 of at most 1' in lines[0]


def test_last_sample_is_replaced_by_the_first(avss_copy):
    damage(avss_copy, 'm2_1')
    data = dataset(avss_copy, subset='v1m', skip_unreadable=1)
    assert sample_id(data[1]).startswith('m1_0/')


def test_one_file_too_many_lists_them_all(avss_copy):
    damage(avss_copy, 'm1_0', '-apT0tfo6U_16000_26000')
    data = dataset(avss_copy, subset=['v1m', 'v2'], skip_unreadable=1)
    data[0]
    with pytest.raises(SampleReadError) as error:
        data[2]
    message = str(error.value)
    assert 'More than skip_unreadable=1 files' in message
    assert 'v1m/m1_0/audio.wav' in message
    assert 'v2/-apT0tfo6U_16000_26000/audio.wav' in message


def test_nothing_readable_ends_the_run(avss_copy):
    damage(avss_copy, 'm1_0', 'm2_1')
    data = dataset(avss_copy, subset='v1m', skip_unreadable=9)
    with pytest.raises(SampleReadError, match='No sample can be read'):
        data[0]


@pytest.mark.parametrize(
    'arguments',
    [
        {'skip_unreadable': 1, 'test_mode': True},
        {'skip_unreadable': -1},
    ],
)
def test_tests_cannot_skip_samples(avss_root, arguments):
    with pytest.raises(ValueError, match='a score over fewer samples'):
        dataset(avss_root, **arguments)


def test_message_survives_a_worker(avss_copy):
    damage(avss_copy, 'm1_0')
    try:
        dataset(avss_copy, subset='v1m')[0]
    except SampleReadError:
        # How a DataLoader hands an error of a worker on.
        carrier = ExceptionWrapper(where='in DataLoader worker process 0')
    with pytest.raises(SampleReadError, match='Sample m1_0/.*audio.wav'):
        pickle.loads(pickle.dumps(carrier)).reraise()


def test_workers_count_for_themselves(avss_copy):
    damage(avss_copy, 'm1_0', '-apT0tfo6U_16000_26000')
    data = dataset(avss_copy, subset=['v1m', 'v2'], skip_unreadable=1)

    order = [0, 1, 3, 2]
    loader = DataLoader(
        data, sampler=order, num_workers=2, collate_fn=pseudo_collate
    )
    # Clips 0 and 2 are damaged; each of two workers meets one of them.
    assert len(list(loader)) == 4
    with pytest.raises(SampleReadError, match='More than'):
        [data[i] for i in order]


def test_samples_are_tensors_that_collate(avss_root):
    data = dataset(avss_root)
    batch = pseudo_collate([data[0], data[1]])
    assert [tuple(x.shape) for x in batch['inputs']] == [
        (3, 36, 40),
        (3, 48, 64),
    ]
    assert all(
        torch.is_tensor(sample.audio) for sample in batch['data_samples']
    )


def test_replaced_sample_tells_what_it_stands_for(avss_copy):
    damage(avss_copy, 'm1_0')
    data = dataset(avss_copy, subset='v1m', skip_unreadable=1)
    (skipped,) = data[0]['data_samples'].skipped
    assert skipped[0].startswith('m1_0/')
    assert skipped[1] == f'{avss_copy}/v1m/m1_0/audio.wav'
    assert 'skipped' not in data[1]['data_samples']


# Files that are missing


def test_missing_files_are_found_by_folder(tmp_path):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a/1').touch()
    paths = [str(tmp_path / name) for name in ('b/1', 'a/2', 'a/1', 'a/2')]
    assert find_missing_files(paths) == [paths[1], paths[0]]


def test_files_of_every_labelled_frame_are_looked_for(avss_copy):
    assert dataset(avss_copy).missing_files() == []
    clip = avss_copy / 'v2/-apT0tfo6U_16000_26000'
    for name in ('audio.wav', 'frames/0.jpg', 'labels_semantic/9.png'):
        (clip / name).unlink()
    # Not labelled in training: not needed.
    (avss_copy / 'v1s/__GOGlHL23s_4000_9000/frames/1.jpg').unlink()
    for sampling in ('random', 'all'):
        data = dataset(avss_copy, frame_sampling=sampling)
        assert data.missing_files() == [
            f'{clip}/audio.wav',
            f'{clip}/frames/0.jpg',
            f'{clip}/labels_semantic/9.png',
        ]
    assert dataset(avss_copy, split='val').missing_files() == []


def test_files_of_other_storage_are_not_looked_for(avss_copy):
    data = dataset(avss_copy)
    assert data.is_local
    damage(avss_copy, 'm1_0')
    data.backend_args = {'backend': 'petrel'}
    assert not data.is_local and data.missing_files() == []


# Wrappers


def test_classes_of_a_sample(avss_root):
    """Clip number n holds the classes n + 1 and n + 2, see conftest."""
    data = dataset(avss_root, frame_sampling='random')
    uids = [data.get_data_info(i)['uid'] for i in range(len(data))]
    expected = {
        '__GOGlHL23s_4000_9000': [1, 2],
        'zVfLHhs9uv8_3000_8000': [2, 3],
        'm1_0': [3, 4],
        'm2_1': [4, 5],
        '-apT0tfo6U_16000_26000': [5, 6],
        '_offscreen_0_10000': [6, 7],
    }
    assert {u: data.get_cat_ids(i) for i, u in enumerate(uids)} == expected


def test_classes_of_all_frames_of_a_clip(avss_copy):
    """Whichever of them is drawn."""
    label = avss_copy / 'v1m/m1_0/labels_semantic/3.png'
    cv2.imwrite(str(label), np.full((36, 40), 9, np.uint8))
    data = dataset(avss_copy, subset='v1m', frame_sampling='random')
    assert data.get_cat_ids(0) == [3, 4, 9]
    assert dataset(avss_copy, subset='v1m', frame_sampling='all').get_cat_ids(
        3
    ) == [9]


def test_classes_need_labels(avss_root):
    with pytest.raises(ValueError, match='it needs LoadAVSAnnotations'):
        dataset(avss_root, pipeline=PIPELINE[:1]).get_cat_ids(0)


def test_hint_names_the_setting_within_a_wrapper(avss_copy):
    inner = dataset(avss_copy, subset='v1m')
    joined = {'type': 'ConcatDataset', 'datasets': [inner]}
    wrapped = RepeatDataset(joined, 2)
    name_settings(wrapped, 'train_dataloader.dataset')
    (avss_copy / 'v1m/m1_0/audio.wav').unlink()
    with pytest.raises(SampleReadError) as error:
        inner[0]
    option = 'train_dataloader.dataset.dataset.datasets.0.skip_unreadable'
    assert f'--cfg-options {option}=N' in str(error.value)
    with pytest.raises(UsageError, match=f'--cfg-options {option}=1'):
        check_files(inner)
