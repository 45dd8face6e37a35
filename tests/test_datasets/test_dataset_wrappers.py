import pickle

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmseg.registry import DATASETS

from mmcpm.datasets.counterfactual_audio import (
    disturb,
    draw_offscreen,
    draw_partners,
)
from mmcpm.datasets.dataset_wrappers import (
    CounterfactualAudioDataset,
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
    with pytest.raises(ValueError, match="'silence', 'swapped'.*'thunder'"):
        CounterfactualAudioDataset(plain_cfg, 'thunder')


@pytest.mark.parametrize(
    ('sound', 'settings', 'message'),
    [
        ('silence', dict(snr=0), "snr=0 has no effect with sound='silence'"),
        ('noise', dict(seconds=1), 'seconds=1 has no effect'),
        ('swapped', dict(folder='x'), 'folder='),
        ('shifted', {}, 'needs seconds'),
        ('shifted', dict(seconds=0), 'needs seconds'),
        ('shifted', dict(seconds=float('nan')), 'needs seconds'),
    ],
)
def test_settings_without_effect(plain_cfg, sound, settings, message):
    with pytest.raises(ValueError, match=message):
        CounterfactualAudioDataset(plain_cfg, sound, **settings)


def rms(audio):
    return float(audio.double().square().mean().sqrt())


@pytest.mark.parametrize('snr', [20, 0, -10])
def test_noise_has_the_level_that_is_told(plain_cfg, snr):
    plain = DATASETS.build(plain_cfg)
    noisy = build(plain_cfg, 'noise', snr=snr)
    for index in (0, 19):
        sound = plain[index]['data_samples'].audio
        noise = noisy[index]['data_samples'].audio - sound
        assert 20 * np.log10(rms(sound) / rms(noise)) == pytest.approx(
            snr, abs=1e-3
        )


def test_noise_alone_is_as_loud_as_the_sound(plain_cfg):
    sound = DATASETS.build(plain_cfg)[4]['data_samples'].audio
    noise = build(plain_cfg, 'noise')[4]['data_samples'].audio
    assert rms(noise) == pytest.approx(rms(sound), rel=1e-4)
    spectrum = np.abs(np.fft.rfft(noise[0]))
    assert spectrum.max() < 10 * spectrum.mean()


def test_noise_of_a_frame_is_its_own_whatever_was_read_before(plain_cfg):
    first = build(plain_cfg, 'noise', snr=0)
    forward = [first[i]['data_samples'].audio for i in range(4)]
    again = build(plain_cfg, 'noise', snr=0)
    torch.rand(3), np.random.rand(3)
    for i in (3, 1):
        torch.testing.assert_close(again[i]['data_samples'].audio, forward[i])
    assert not torch.equal(forward[0], forward[1])
    other = build(plain_cfg, 'noise', snr=0, seed=1)[0]['data_samples'].audio
    assert not torch.equal(other, forward[0])


def test_what_is_mixed_into_silence_is_not_silent():
    """Silence counts as -60 dB."""
    silence, other = torch.zeros(1, 8), torch.full((1, 8), 0.5)
    assert rms(disturb(silence, other, 0)) == pytest.approx(1e-3)
    assert rms(disturb(silence, other, None)) == pytest.approx(1e-3)
    assert torch.equal(disturb(other, silence, 0), other)


def test_shifted_sound_is_that_of_another_second(plain_cfg, sine_second):
    """Second i is ``sine_second(i)``; the fifth is followed by the first."""
    wrapper = build(plain_cfg, 'shifted', seconds=1)
    plain = wrapper.dataset
    for index in range(5):
        sample = wrapper[index]['data_samples']
        assert sample.sample_id == plain[index]['data_samples'].sample_id
        expected = plain[(index + 1) % 5]['data_samples'].audio
        torch.testing.assert_close(sample.audio, expected)
        torch.testing.assert_close(
            wrapper[index]['inputs'], plain[index]['inputs']
        )
    half = build(plain_cfg, 'shifted', seconds=-0.5)[0]['data_samples'].audio
    seconds = [plain[i]['data_samples'].audio for i in (4, 0)]
    torch.testing.assert_close(half[:, :8000], seconds[0][:, 8000:])
    torch.testing.assert_close(half[:, 8000:], seconds[1][:, :8000])


def test_shift_is_not_that_of_whole_datasets(plain_cfg):
    nested = build(wrap(plain_cfg, 'several'), 'shifted', seconds=2)
    for index in (0, 7):
        heard = nested[index]['data_samples']
        own = nested.dataset[index]['data_samples']
        assert heard.sample_id == own.sample_id
        assert not torch.equal(heard.audio, own.audio)


def test_shift_needs_the_sound_of_a_clip(plain_cfg):
    whole = [s for s in PIPELINE if s['type'] != 'CutAudioToFrame']
    dataset = build({**plain_cfg, 'pipeline': whole}, 'shifted', seconds=1)
    with pytest.raises(ValueError, match='CutAudioToFrame'):
        dataset[0]


def test_left_and_right_exchanged(plain_cfg):
    stereo = [dict(step) for step in PIPELINE]
    stereo[1]['channels'] = 'stereo'
    cfg = {**plain_cfg, 'pipeline': stereo}
    dataset = build(cfg, 'exchanged')
    inner = dataset.dataset

    class OneSided:
        metainfo = inner.metainfo

        def __getitem__(self, index):
            sample = inner[index]
            sample['data_samples'].audio[1] = 0
            return sample

        def full_init(self):
            pass

    before = inner[2]['data_samples'].audio
    dataset.dataset = OneSided()
    after = dataset[2]['data_samples'].audio
    torch.testing.assert_close(after[1], before[0])
    assert not after[0].any()
    with pytest.raises(ValueError, match='1 channel'):
        build(plain_cfg, 'exchanged')[0]


def test_offscreen_sounds_share_nothing_with_the_clip():
    """Clip a shows 1 and 2, one after the other."""
    clips = ['a', 'a', 'b', 'c', 'd']
    classes = [frozenset(k) for k in ([1], [2], [2], [3], [])]
    for seed in range(20):
        partners = draw_offscreen(classes, clips, seed)
        assert partners[:2] == [3, 3]
        assert partners[2] in (0, 3)
        assert partners[3] in (0, 1, 2)
        # What is empty may hear anything, but no silence.
        assert partners[4] != 4
    with pytest.raises(ValueError, match='shares a class'):
        draw_offscreen(classes[:3], clips[:3], 0)


def test_offscreen_sound_mixed_in(plain_cfg):
    plain = DATASETS.build(dict(plain_cfg, subset=['v1s', 'v2']))
    cfg = dict(plain_cfg, subset=['v1s', 'v2'])
    mixed = build(cfg, 'offscreen', snr=6)
    alone = build(cfg, 'offscreen')
    own = plain[0]['data_samples'].audio
    one, two = mixed[0]['data_samples'], alone[0]['data_samples']
    assert one.heard_sample_id == two.heard_sample_id
    assert one.heard_sample_id.startswith('-test2')
    torch.testing.assert_close(one.audio, own + two.audio * 10 ** (-6 / 20))


def test_offscreen_recordings(plain_cfg, tmp_path):
    soundfile.write(tmp_path / 'x.wav', np.full(40000, 0.25), 16000)
    dataset = build(plain_cfg, 'offscreen', folder=str(tmp_path))
    audio = dataset[0]['data_samples'].audio
    own = dataset.dataset[0]['data_samples'].audio
    # Constant, and as loud as the sound was.
    assert audio.std() < 1e-3 * audio.abs().max()
    assert rms(audio) == pytest.approx(rms(own), rel=1e-4)
    with pytest.raises(FileNotFoundError, match='found no'):
        build(plain_cfg, 'offscreen', folder=str(tmp_path / 'none'))


@pytest.mark.parametrize(
    'settings',
    [
        dict(sound='noise', snr=0),
        dict(sound='offscreen', snr=0),
        dict(sound='shifted', seconds=1),
    ],
)
def test_every_sound_is_the_same_in_a_worker(plain_cfg, settings):
    """Also where processes are started anew and get a copy."""
    dataset = build(dict(plain_cfg, subset=['v1s', 'v2']), **settings)
    first = dataset[3]['data_samples'].audio
    copied = pickle.loads(pickle.dumps(dataset))
    torch.testing.assert_close(copied[3]['data_samples'].audio, first)


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


@pytest.mark.parametrize('sound', ['silence', 'swapped', 'noise'])
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
