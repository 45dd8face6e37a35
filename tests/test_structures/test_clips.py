import pytest
import torch
from mmengine.structures import BaseDataElement

from mmcpm.models.utils.mixing import MixedAudioFeatures
from mmcpm.structures import AudioFeatures
from mmcpm.structures.clips import is_scored, mark_clips, read_clip_length


def frames(*places, length=2, **meta):
    """Meta information of frames, each (clip, index)."""
    return [
        dict(uid=clip, frame_index=index, clip_length=length, **meta)
        for clip, index in places
    ]


def test_whole_clips_in_order():
    batch = frames(('a', 0), ('a', 1), ('b', 5), ('b', 6))
    assert read_clip_length(batch) == 2
    assert read_clip_length([{}, {}]) == 1
    assert read_clip_length([]) == 1
    assert read_clip_length([dict(clip_length=3)] * 6) == 3


@pytest.mark.parametrize(
    ('batch', 'message'),
    [
        (frames(('a', 0), ('a', 1), ('b', 0)), 'of 3 samples is no multiple'),
        (frames(('a', 0), ('b', 0)), r'frames of 2 clips \(a, b\) at 0..1'),
        (frames(('a', 1), ('a', 0)), r'has the frames \[1, 0\] of a at'),
        (frames(('a', 1), ('a', 1)), r'has the frames \[1, 1\] of a at'),
        ([dict(clip_length=2), {}], r'mixes clip_length \[1, 2\]'),
    ],
)
def test_other_batches_are_refused(batch, message):
    with pytest.raises(ValueError, match=message):
        read_clip_length(batch)


def test_features_are_marked():
    samples = [
        BaseDataElement(metainfo=meta)
        for meta in frames(('a', 0), ('a', 1), length=2)
    ]
    levels = [torch.zeros(2, 1, 1, 1)]
    audio = MixedAudioFeatures(levels, torch.ones(2, 3))
    cpu = torch.device('cpu')
    marked = mark_clips(audio, samples, cpu)
    assert isinstance(marked, MixedAudioFeatures)
    assert marked.levels is levels and marked.embedding is audio.embedding
    assert marked.clip_length == 2 and marked.valid is None
    samples[1].set_metainfo(dict(frame_valid=False))
    assert mark_clips(audio, samples, cpu).valid.tolist() == [True, False]
    plain = mark_clips(AudioFeatures(levels), None, cpu)
    assert plain == AudioFeatures(levels)


@pytest.mark.parametrize(
    ('meta', 'expected'),
    [
        ({}, True),
        (dict(labeled=True, frame_valid=True), True),
        (dict(labeled=False), False),
        (dict(frame_valid=False), False),
    ],
)
def test_what_is_scored(meta, expected):
    assert is_scored(meta) is expected
