import pickle
from collections import Counter, defaultdict
from itertools import chain
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.dataset import ConcatDataset, RepeatDataset
from torch.utils.data import DataLoader

from mmcpm.apis.sanity_checks import (
    kept_random_state,
)
from mmcpm.datasets import AVSBenchSemanticDataset
from mmcpm.datasets.frame_sampling import choose_sampling, draw_frame

pytestmark = pytest.mark.usefixtures('mmseg_scope')


def dataset(root, **kwargs):
    return AVSBenchSemanticDataset(
        **{'data_root': str(root), 'pipeline': [], **kwargs}
    )


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

    # An epoch starts a process, which takes nine seconds if it is spawned.
    epochs = 2 if spawned else 3
    torch.manual_seed(0)
    first = visits(epochs)
    # Two visits alike are one in ten, all of a row one in a hundred.
    assert len(set(first)) > 1
    assert spawned or len(set(visits(5))) > 2
    if not settings.get('persistent_workers'):
        # Who seeds the main process repeats the draws: exact resuming.
        torch.manual_seed(0)
        assert visits(epochs) == first


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


@pytest.mark.parametrize(
    ('sampling', 'split', 'test_mode', 'expected'),
    [
        (None, 'train', False, 'random'),
        (None, 'train', True, 'all'),
        (None, 'val', False, 'all'),
        ('all', 'train', False, 'all'),
        ('random', 'val', False, "split='val' and test_mode=False"),
        ('random', 'train', True, 'scores all frames'),
        ('first', 'train', False, "'first' with .* one of"),
        (None, 'eval', False, "split must be one of .* got 'eval'"),
    ],
)
def test_only_training_draws(sampling, split, test_mode, expected):
    if expected in ('random', 'all'):
        assert choose_sampling(sampling, split, test_mode) == expected
        return
    with pytest.raises(ValueError, match=expected):
        choose_sampling(sampling, split, test_mode)
