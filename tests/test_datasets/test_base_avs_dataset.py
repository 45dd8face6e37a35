import pickle
from collections import Counter, defaultdict
from itertools import chain, islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.dataset import ConcatDataset, RepeatDataset, pseudo_collate
from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader

from mmcpm.apis.sanity_checks import (
    check_files,
    kept_random_state,
    name_settings,
)
from mmcpm.datasets import AVSBenchSemanticDataset, BaseAVSDataset
from mmcpm.datasets.base_avs_dataset import draw_frame, find_missing_files
from mmcpm.datasets.errors import SampleReadError
from mmcpm.utils.errors import UsageError

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
    st.integers(0, 63),
)
def test_drawn_frame_is_one_of_those_given(frames, seed, rank):
    torch.manual_seed(seed)
    frame = draw_frame(frames, rank)
    assert frame in frames
    torch.manual_seed(seed)
    assert draw_frame(frames, rank) == frame


def test_clip_of_one_frame_takes_no_random_number():
    torch.manual_seed(0)
    assert draw_frame([7]) == 7
    after = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(after, torch.rand(1))


def chi_square(counts, expected):
    return sum((count - expected) ** 2 / expected for count in counts)


@pytest.mark.parametrize('num_frames', [5, 10])
def test_drawn_frames_are_uniform(num_frames):
    torch.manual_seed(0)
    counts = Counter(draw_frame(range(num_frames)) for _ in range(10_000))
    # The 99.9 % quantiles of chi-square with 4 and 9 degrees of freedom.
    limit = {5: 18.47, 10: 27.88}[num_frames]
    observed = [counts[i] for i in range(num_frames)]
    assert chi_square(observed, 10_000 / num_frames) < limit


def test_draws_of_ranks_with_the_same_seed_are_independent():
    draws = []
    for rank in range(2):
        torch.manual_seed(0)
        draws.append([draw_frame(range(5), rank) for _ in range(5000)])
    pairs = Counter(zip(*draws, strict=True))
    observed = [pairs[i, j] for i in range(5) for j in range(5)]
    # The 99.9 % quantile of chi-square with 24 degrees of freedom.
    assert chi_square(observed, 5000 / 25) < 51.18


def test_rank_is_that_of_the_process_that_builds_the_dataset(
    avss_root, monkeypatch
):
    """A data-loading process that was spawned does not know it."""
    drawn = []
    for rank in range(2):
        place = 'mmcpm.datasets.base_avs_dataset.get_rank'
        monkeypatch.setattr(place, lambda rank=rank: rank)
        data = pickle.loads(pickle.dumps(dataset(avss_root, subset='v2')))
        torch.manual_seed(0)
        drawn.append([data.get_data_info(0)['frame_index'] for _ in range(30)])
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize('wrapper', ['none', 'repeat', 'concatenate'])
@pytest.mark.parametrize(
    'settings',
    [
        dict(num_workers=0),
        dict(num_workers=2),
        dict(num_workers=1, persistent_workers=True),
        dict(num_workers=1, multiprocessing_context='spawn'),
    ],
    ids=lambda settings: '-'.join(map(str, settings.values())),
)
def test_every_visit_draws_anew(avss_root, settings, wrapper):
    """Whatever loads the data, without a hook."""
    if wrapper != 'none' and 'multiprocessing_context' in settings:
        pytest.skip('starting Python takes long')
    data = dataset(avss_root, subset='v2', pipeline=[])
    if wrapper == 'repeat':
        data = RepeatDataset(data, 3)
    elif wrapper == 'concatenate':
        data = ConcatDataset([data, dataset(avss_root, pipeline=[])])
    # mmengine seeds workers alike in every epoch, too. A spawned process is
    # sent the function, and not every state of PyTorch lets that one go.
    spawned = 'multiprocessing_context' in settings
    init = None if spawned else torch.manual_seed
    loader = DataLoader(data, worker_init_fn=init, collate_fn=list, **settings)

    def visits(epochs):
        seen = defaultdict(list)
        for _ in range(epochs):
            for sample in chain.from_iterable(loader):
                seen[sample['uid']].append(sample['frame_index'])
        return seen['-apT0tfo6U_16000_26000']

    torch.manual_seed(0)
    first = visits(3)
    # Two visits alike are one in ten, all of a row one in a hundred.
    assert len(set(first)) > 1
    assert len(set(visits(5))) > 2
    if not settings.get('persistent_workers'):
        # Who seeds the main process repeats the draws: exact resuming.
        torch.manual_seed(0)
        assert visits(3) == first


def test_looking_before_the_start_does_not_shift_the_draws(avss_root):
    data = dataset(avss_root, subset='v2')

    def drawn():
        return [data.get_data_info(0)['frame_index'] for _ in range(20)]

    torch.manual_seed(0)
    expected = drawn()
    torch.manual_seed(0)
    with kept_random_state():
        data[0]
    data.missing_files()
    assert drawn() == expected


def test_frame_label_and_sound_of_a_visit_belong_together(avss_root):
    data = dataset(avss_root, subset='v2')
    for _ in range(10):
        info = data.get_data_info(1)
        number = str(info['frame_index'])
        assert info['sample_id'] == f'{info["uid"]}/{number}'
        for key in ('img_path', 'seg_map_path'):
            assert Path(info[key]).stem == number


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
        # OpenCV 4 fills the missing rows with gray.
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
    # The sound is read where it is cut.
    steps = [{'type': transform}, {'type': 'CutAudioToFrame'}]
    steps = steps[: 1 + (kind == 'audio file')]
    data = dataset(avss_copy, split='val', pipeline=steps)
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


def test_files_of_every_labeled_frame_are_looked_for(avss_copy):
    assert dataset(avss_copy).missing_files() == []
    clip = avss_copy / 'v2/-apT0tfo6U_16000_26000'
    for name in ('audio.wav', 'frames/0.jpg', 'labels_semantic/9.png'):
        (clip / name).unlink()
    # Not labeled in training: not needed.
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


@pytest.mark.parametrize('indices', [None, 3])
def test_samples_are_named_before_they_are_read(avss_root, indices):
    data = dataset(
        avss_root,
        split='test',
        test_mode=True,
        frame_sampling='all',
        indices=indices,
    )
    read = [sample_id(data[i]) for i in range(len(data))]
    assert data.sample_ids() == read
    whole = dataset(
        avss_root, split='test', test_mode=True, frame_sampling='all'
    )
    assert data.split_length == len(whole) > 3


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


@pytest.mark.parametrize('test_mode', [False, True])
def test_a_loop_over_the_samples_ends(avss_root, test_mode):
    data = dataset(avss_root, subset='v1m', test_mode=test_mode)
    names = [sample_id(s) for s in islice(data, 2 * len(data))]
    assert len(names) == len(data) == len(set(names))
    for index in (len(data), -len(data) - 1):
        with pytest.raises(IndexError, match=f'{index} of a dataset of'):
            data[index]
    assert sample_id(data[-1]).startswith(names[-1].partition('/')[0])


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
