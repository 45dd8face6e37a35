from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcpm.dataset_converters.vpo_builder.recordings import Clip
from mmcpm.dataset_converters.vpo_builder.splits import (
    group_clips,
    split_clips,
    split_pictures,
)
from mmcpm.datasets.errors import DatasetIndexError

HEARD_AS = {'bark': 'dog', 'howl': 'dog', 'meow': 'cat'}


def clip(name, label='bark', content=None, group=''):
    place = f'sounds.csv, line {name}'
    return Clip(name, Path(), label, None, group, place, content or name)


def test_share_of_each_class_is_for_the_test():
    clips = [clip(f'd{i}') for i in range(10)]
    clips += [clip(f'c{i}', 'meow') for i in range(2)]
    split = split_clips(clips, HEARD_AS, 0.3, seed=0)
    dogs = [split[f'd{i}'] for i in range(10)]
    assert dogs.count('val') == 3
    # At least one, and not all.
    assert sorted(split[f'c{i}'] for i in range(2)) == ['train', 'val']
    assert split == split_clips(clips[::-1], HEARD_AS, 0.3, seed=0)
    others = [split_clips(clips, HEARD_AS, 0.3, seed=s) for s in range(1, 5)]
    assert any(other != split for other in others)


def test_clips_stay_with_those_of_their_recording_or_group():
    clips = [
        clip('a', content='x'),
        clip('b', content='y', group='g'),
        clip('c', content='x', group='g'),
        clip('d', content='z'),
        clip('e', content='y'),
    ]
    assert group_clips(clips) == dict(a='a', b='a', c='a', e='a', d='d')


@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(HEARD_AS)),
            st.integers(0, 12),
            st.sampled_from(['', '', '', 'g', 'h']),
        ),
        min_size=1,
        max_size=20,
    ),
    st.integers(0, 3),
)
def test_no_recording_is_ever_in_both_splits(drawn, seed):
    clips = [
        clip(f'{i:02}', label, str(content), group)
        for i, (label, content, group) in enumerate(drawn)
    ]
    try:
        split = split_clips(clips, HEARD_AS, 0.4, seed)
    except DatasetIndexError as error:
        assert 'no recording shall be in both' in str(error)
        return
    for one in clips:
        for other in clips:
            if one.content == other.content or (
                one.group and one.group == other.group
            ):
                assert split[one.name] == split[other.name]
    for name in {HEARD_AS[c.label] for c in clips}:
        of_class = {split[c.name] for c in clips if HEARD_AS[c.label] == name}
        assert of_class == {'train', 'val'}


def test_class_with_one_recording_is_refused():
    clips = [clip('1'), clip('2', 'howl', content='1')]
    with pytest.raises(DatasetIndexError) as caught:
        split_clips(clips, HEARD_AS, 0.5, seed=0)
    for told in ('line 1', "2 clips of class 'dog'", '1 recordings', 'Add'):
        assert told in str(caught.value)


def test_recordings_of_two_classes_leave_both_with_both_splits():
    clips = [clip('a'), clip('b', content='both')]
    clips.append(clip('c', 'meow', content='both'))
    clips += [clip(name, 'meow') for name in 'defg']
    found = set()
    for seed in range(20):
        split = split_clips(clips, HEARD_AS, 0.2, seed)
        assert split['b'] == split['c'] != split['a']
        found.add(split['a'])
    assert found == {'train', 'val'}


def test_pictures_are_drawn_once_and_for_all():
    split = split_pictures(range(100), 0.2, seed=0)
    assert list(split.values()).count('val') == 20
    assert split == split_pictures(reversed(range(100)), 0.2, seed=0)
    assert split != split_pictures(range(100), 0.2, seed=1)
