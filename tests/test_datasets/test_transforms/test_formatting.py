from dataclasses import fields

import numpy as np
import pytest
import torch

from mmcpm.datasets.transforms import PackAVSInputs
from mmcpm.structures import AVPrediction
from mmcpm.structures.av_data_sample import (
    AV_META_KEYS,
    DATA_FIELDS,
    LABEL_SHAPE,
    MMSEG_META_KEYS,
)

INFO = {
    'img_path': 'v1m/m_0/frames/3.jpg',
    'seg_map_path': 'v1m/m_0/labels_semantic/3.png',
    'ori_shape': (4, 6),
    'img_shape': (4, 6),
    'sample_id': 'm_0/3',
    'uid': 'm_0',
    'frame_index': 3,
    'clip_length': 5,
    'frame_valid': True,
    'labeled': False,
    'subset': 'v1m',
    'sources': 'ms',
    'sound_sources': ('cat', 'man'),
    'audio_labels': (3, 41),
    'audio_valid_samples': 7,
    'sample_rate': 16000,
    'reduce_zero_label': False,
}


@pytest.fixture
def results(rng):
    return dict(
        INFO,
        img=rng.integers(0, 255, (4, 6, 3), dtype=np.uint8),
        gt_seg_map=rng.integers(0, 71, (4, 6), dtype=np.uint8),
        audio=rng.standard_normal((2, 10)).astype(np.float32),
    )


def test_frame_label_map_and_sound_are_packed(results):
    packed = PackAVSInputs()(results)
    assert set(packed) == {'inputs', 'data_samples'}
    assert packed['inputs'].dtype == torch.uint8
    assert (
        packed['inputs'].numpy() == results['img'].transpose(2, 0, 1)
    ).all()
    sample = packed['data_samples']
    assert sample.gt_sem_seg.data.dtype == torch.int64
    assert sample.gt_sem_seg.data.shape == (1, 4, 6)
    assert (sample.gt_sem_seg.data[0].numpy() == results['gt_seg_map']).all()
    assert sample.audio.dtype == torch.float32
    assert (sample.audio.numpy() == results['audio']).all()
    assert {key: sample.metainfo[key] for key in INFO} == INFO


def test_sound_is_data_and_moves_with_the_sample(results):
    sample = PackAVSInputs()(results)['data_samples']
    assert 'audio' in sample
    assert 'audio' not in sample.metainfo_keys()
    assert sample.to(torch.device('meta')).audio.device.type == 'meta'


def test_frame_without_label_map_is_packed(results):
    del results['gt_seg_map'], results['audio_labels']
    sample = PackAVSInputs()(results)['data_samples']
    assert 'gt_sem_seg' not in sample
    assert 'audio_labels' not in sample.metainfo


def test_reversed_sound_is_packed(results):
    results['audio'] = results['audio'][::-1]
    sample = PackAVSInputs()(results)['data_samples']
    assert (sample.audio.numpy() == results['audio']).all()


def test_every_key_of_a_sample_is_explained(results):
    results['offscreen_audio'] = results['audio']
    results['label_shape'] = (4, 6)
    sample = PackAVSInputs()(results)['data_samples']
    explained = {*MMSEG_META_KEYS, *AV_META_KEYS, LABEL_SHAPE}
    assert set(sample.metainfo_keys()) == {*INFO, LABEL_SHAPE} <= explained
    assert set(sample.keys()) == {'gt_sem_seg', 'audio', 'offscreen_audio'}
    assert set(sample.keys()) < set(DATA_FIELDS)
    predicted = {field.name for field in fields(AVPrediction)} - {'scores'}
    assert predicted < set(DATA_FIELDS)


def test_other_meta_keys(results):
    packed = PackAVSInputs(meta_keys=('uid',))(results)
    assert packed['data_samples'].metainfo == {'uid': 'm_0'}


def test_sound_must_be_loaded_before(results):
    del results['audio']
    with pytest.raises(KeyError, match='LoadAudioFromFile and CutAudioToF'):
        PackAVSInputs()(results)


def test_sound_must_have_channels(results):
    results['audio'] = results['audio'][0]
    with pytest.raises(ValueError, match=r'\[channels, samples\], got \(10,'):
        PackAVSInputs()(results)
