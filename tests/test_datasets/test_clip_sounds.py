"""Sounds that clips did not have, and what is scored of clips."""

import pytest
import torch
from mmseg.registry import DATASETS

from mmcpm.apis.evaluation_checks import check_batches, sample_size
from mmcpm.apis.nested_settings import without_clips
from mmcpm.datasets.dataset_wrappers import sample_indices, source_of

PIPELINE = [
    dict(type='LoadFrameFromFile'),
    dict(type='LoadAudioFromFile'),
    dict(type='CutAudioToFrame'),
    dict(type='LoadAVSAnnotations'),
    dict(type='RecordSoundingClasses'),
    dict(type='PackAVSInputs'),
]

pytestmark = pytest.mark.usefixtures('mmseg_scope')


def build(root, sound, clip_length=None, **kwargs):
    frames = dict(
        type='AVSBenchSemanticDataset',
        data_root=str(root),
        split='test',
        test_mode=True,
        pipeline=PIPELINE,
    )
    if clip_length is not None:
        frames = dict(
            type='ClipDataset', dataset=frames, clip_length=clip_length
        )
    return DATASETS.build(
        dict(
            type='CounterfactualAudioDataset',
            dataset=frames,
            sound=sound,
            **kwargs,
        )
    )


@pytest.mark.parametrize(
    ('sound', 'settings'),
    [
        ('silence', {}),
        ('noise', {'snr': 0.0}),
        ('shifted', {'seconds': 1.5}),
    ],
)
def test_frames_of_a_clip_get_what_they_get_alone(avss_root, sound, settings):
    plain = build(avss_root, sound, **settings)
    alone = {
        sample['data_samples'].sample_id: sample['data_samples']
        for sample in map(plain.__getitem__, range(len(plain)))
    }
    clips = build(avss_root, sound, 7, **settings)
    seen = 0
    for clip in map(clips.__getitem__, range(len(clips))):
        for frame in clip:
            sample = frame['data_samples']
            if sample.frame_valid:
                expected = alone[sample.sample_id].audio
                assert torch.equal(sample.audio, expected)
                seen += 1
            else:
                assert not sample.audio.any()
    assert seen == len(alone) == 20


def test_a_clip_gets_the_sound_of_another(avss_root):
    clips = build(avss_root, 'swapped', 10)
    true = clips.dataset
    samples = {
        frame['data_samples'].sample_id: frame['data_samples']
        for clip in map(true.__getitem__, range(len(true)))
        for frame in clip
    }
    for index in range(len(clips)):
        frames = [f['data_samples'] for f in clips[index]]
        real = [s for s in frames if s.frame_valid]
        heard = [s.heard_sample_id for s in real]
        (other,) = {name.rpartition('/')[0] for name in heard}
        assert other != real[0].uid
        length = 10 if other == '-test2_0_10000' else 5
        assert heard == [f'{other}/{i % length}' for i in range(len(real))]
        for sample in real:
            partner = samples[sample.heard_sample_id]
            assert torch.equal(sample.audio, partner.audio)
            shared = {*sample.audio_labels} & {*partner.audio_labels}
            # test1m_0 shares a class with both others, see conftest.
            assert not shared or sample.uid == 'test1m_0'
        assert not any(s.audio.any() for s in frames[len(real) :])


def test_samples_are_found_by_their_frames(avss_root):
    clips = build(avss_root, 'silence', 5)
    indices = sample_indices(clips)
    assert len(clips) == 4 and len(indices) == 20
    assert indices['-test2_0_10000/4'] + 1 == indices['-test2_0_10000/5']
    inner, index = source_of(clips, 3)
    assert inner is clips.dataset and index == 3
    plain = build(avss_root, 'silence')
    assert list(sample_indices(plain).values()) == list(range(20))


def test_tools_of_frames_take_clips_apart():
    inner = dict(type='SoundingScenesDataset', data_root='x')
    clip = dict(type='ClipDataset', dataset=inner, clip_length=5)
    assert without_clips(clip) == inner
    joined = dict(type='ConcatDataset', datasets=[clip, inner])
    swapped = dict(type='CounterfactualAudioDataset', dataset=joined)
    frames = without_clips(swapped)
    assert frames['dataset']['datasets'] == [inner, inner]
    assert swapped['dataset']['datasets'] == [clip, inner]


def test_frames_of_a_clip_must_have_one_size(avss_copy):
    from types import SimpleNamespace

    import cv2
    from mmseg.models import SegDataPreProcessor
    from torch.utils.data import DataLoader

    from mmcpm.datasets import clip_collate
    from mmcpm.utils.errors import UsageError

    model = SimpleNamespace(data_preprocessor=SegDataPreProcessor(size=(8, 8)))

    def check():
        clips = build(avss_copy, 'silence', 5)
        loader = DataLoader(clips, 1, collate_fn=clip_collate)
        check_batches(SimpleNamespace(dataloader=loader), model)
        return clips

    assert sample_size(check(), 0) == (48, 64)
    for part in ('frames/2.jpg', 'labels_semantic/2.png'):
        path = str(avss_copy / 'v1m/test1m_0' / part)
        cv2.imwrite(path, cv2.imread(path, -1)[:30, :30])
    with pytest.raises(UsageError, match='clip test1m_0 differ in size'):
        check()
