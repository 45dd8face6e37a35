import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmseg.registry import DATASETS

from mmcpm.datasets.dataset_wrappers import (
    CounterfactualAudioDataset,
    draw_partners,
    source_of,
)

PIPELINE = [
    dict(type='LoadFrameFromFile'),
    dict(type='LoadAudioFromFile'),
    dict(type='CutAudioToFrame'),
    dict(type='LoadAVSAnnotations'),
    dict(type='RecordSoundingClasses'),
    dict(type='PackAVSInputs'),
]


@pytest.fixture
def plain_cfg(avss_root, mmseg_scope):
    return dict(
        type='AVSBenchSemanticDataset',
        data_root=str(avss_root),
        split='test',
        test_mode=True,
        pipeline=PIPELINE,
    )


def build(cfg, sound, **kwargs):
    dataset = DATASETS.build(
        dict(
            type='CounterfactualAudioDataset',
            dataset=cfg,
            sound=sound,
            **kwargs,
        )
    )
    dataset.full_init()
    return dataset


def test_silence_changes_the_sound_only(plain_cfg):
    plain = DATASETS.build(plain_cfg)
    silent = build(plain_cfg, 'silence')
    assert len(silent) == len(plain) == 20
    assert silent.metainfo == plain.metainfo
    for index in (0, 19):
        before, after = plain[index], silent[index]
        assert before['data_samples'].audio.abs().max() > 0
        assert after['data_samples'].audio.abs().max() == 0
        assert (
            after['data_samples'].audio.shape
            == before['data_samples'].audio.shape
        )
        torch.testing.assert_close(after['inputs'], before['inputs'])
        torch.testing.assert_close(
            after['data_samples'].gt_sem_seg.data,
            before['data_samples'].gt_sem_seg.data,
        )


def test_swapped_sound_is_the_named_partners(plain_cfg):
    plain = DATASETS.build(plain_cfg)
    by_id = {plain.get_data_info(i)['sample_id']: i for i in range(len(plain))}
    swapped = build(plain_cfg, 'swapped')
    for index in range(0, len(plain), 3):
        own, heard = plain[index]['data_samples'], swapped[index]
        heard = heard['data_samples']
        partner = plain[by_id[heard.heard_sample_id]]['data_samples']
        torch.testing.assert_close(heard.audio, partner.audio)
        assert heard.sample_id == own.sample_id
        assert partner.uid != own.uid
        # The middle clip of the three shares a class with both others.
        if own.uid != 'test1m_0':
            assert not set(partner.audio_labels) & set(own.audio_labels)


def test_partners_are_repeatable(plain_cfg):
    first = build(plain_cfg, 'swapped').partners
    assert first == build(plain_cfg, 'swapped').partners


def test_partners_share_no_class_in_any_frame_that_may_be_drawn():
    """Classes of the frames of three clips; the first shows one of two."""
    clips = [([1], [2]), ([2], [2]), ([3], [3])]

    class Frames:
        metainfo = {'classes': ('background', 'a', 'b', 'c')}

        def full_init(self):
            pass

        def __len__(self):
            return len(clips)

        def get_data_info(self, index):
            return dict(uid=str(index))

        def get_cat_ids(self, index):
            return sorted({k for frame in clips[index] for k in frame})

    dataset = CounterfactualAudioDataset(Frames(), 'swapped')
    dataset.full_init()
    assert dataset.partners[:2] == [2, 2]
    assert dataset.partners[2] in (0, 1)


@given(
    st.lists(
        st.tuples(
            st.frozensets(st.integers(1, 4), max_size=2),
            st.sampled_from('abcd'),
        ),
        min_size=1,
        max_size=12,
    ),
    st.integers(0, 5),
)
@settings(deadline=None, max_examples=60)
def test_partners_are_disjoint_where_possible(samples, seed):
    classes = [sample[0] for sample in samples]
    clips = [sample[1] for sample in samples]
    possible = [
        [i for i in range(len(samples)) if clips[i] != clip and classes[i]]
        for clip in clips
    ]
    if not all(possible):
        with pytest.raises(ValueError, match='at least two clips'):
            draw_partners(classes, clips, seed)
        return
    partners = draw_partners(classes, clips, seed)
    for own, partner, choice in zip(classes, partners, possible, strict=True):
        assert partner in choice
        if any(not classes[i] & own for i in choice):
            assert not classes[partner] & own


def test_two_classes_do_not_tell_what_is_another_sound():
    """S4: a dog must not hear another dog."""
    names = [('dog', 'v'), ('dog', 'w'), ('cat', 'x'), ('dog', 'y')]

    class Frames:
        metainfo = {'classes': ('background', 'sounding')}

        def full_init(self):
            pass

        def __len__(self):
            return len(names)

        def get_data_info(self, index):
            return dict(uid=names[index][1], sound_sources=names[index])

        def get_cat_ids(self, index):
            return [1]

    dataset = CounterfactualAudioDataset(Frames(), 'swapped')
    dataset.full_init()
    assert [dataset.partners[i] for i in (0, 1, 3)] == [2, 2, 2]


def test_unknown_sound(plain_cfg):
    with pytest.raises(ValueError, match="'silence', 'swapped'.*'noise'"):
        CounterfactualAudioDataset(plain_cfg, 'noise')


VIEWS = [
    *PIPELINE[:-1],
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='RandomFlip', prob=prob) for prob in (0.0, 1.0)],
            [dict(type='PackAVSInputs')],
        ],
    ),
]


@pytest.mark.parametrize('sound', ['silence', 'swapped'])
def test_all_views_of_a_frame_hear_the_same(plain_cfg, sound):
    one = build(plain_cfg, sound)[3]['data_samples']
    views = build({**plain_cfg, 'pipeline': VIEWS}, sound)[3]['data_samples']
    assert [view.metainfo['flip'] for view in views] == [False, True]
    for view in views:
        torch.testing.assert_close(view.audio, one.audio)
        if sound == 'swapped':
            heard = view.metainfo['heard_sample_id']
            assert heard == one.metainfo['heard_sample_id']


def wrap(cfg, nesting):
    """Wrap the three test clips, or parts of them, in some way."""
    part = {
        name: dict(cfg, subset=name, pipeline=PIPELINE)
        for name in ('v1s', 'v1m', 'v2')
    }
    parts = [part['v1s'], part['v1m'], part['v2']]
    if nesting == 'concat':
        return dict(type='ConcatDataset', datasets=parts)
    if nesting == 'repeat':
        return dict(type='RepeatDataset', times=2, dataset=cfg)
    if nesting == 'balanced':
        return dict(
            type='ClassBalancedDataset', oversample_thr=0.9, dataset=cfg
        )
    inner = dict(type='ConcatDataset', datasets=parts[1:])
    return dict(
        type='ConcatDataset',
        datasets=[
            dict(
                type='ClassBalancedDataset',
                oversample_thr=0.9,
                dataset=parts[0],
            ),
            dict(type='RepeatDataset', times=2, dataset=inner),
        ],
    )


@pytest.mark.parametrize(
    'nesting', ['concat', 'repeat', 'balanced', 'several']
)
def test_swapped_sound_of_wrapped_datasets(plain_cfg, nesting):
    """Sounds come from other clips, chosen by the labels of the own one."""
    plain = DATASETS.build(plain_cfg)
    samples = {}
    for index in range(0, len(plain), 2):
        sample = plain[index]['data_samples']
        samples[sample.sample_id] = sample
    wrapped = build(wrap(plain_cfg, nesting), 'swapped')
    found = set()
    for index in range(0, len(wrapped), 3):
        sample = wrapped[index]['data_samples']
        partner = samples.get(sample.heard_sample_id)
        found.add(sample.uid)
        assert sample.uid not in sample.heard_sample_id
        if partner is None:
            continue
        torch.testing.assert_close(sample.audio, partner.audio)
        if sample.uid != 'test1m_0':
            assert not set(partner.audio_labels) & set(sample.audio_labels)
    assert len(found) == 3


def test_source_of_a_sample(plain_cfg):
    for nesting in ('concat', 'repeat', 'balanced', 'several'):
        wrapped = DATASETS.build(wrap(plain_cfg, nesting))
        for index in range(len(wrapped)):
            uid = wrapped.get_data_info(index)['uid']
            source, inner = source_of(wrapped, index)
            assert source.get_data_info(inner)['uid'] == uid
