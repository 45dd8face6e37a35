from itertools import islice

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate

from mmcpm.datasets import AVSBenchSemanticDataset, BaseAVSDataset

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


def test_layout_is_the_subclass_matter(avss_root):
    with pytest.raises(NotImplementedError):
        BaseAVSDataset.frame_info(dataset(avss_root), {}, 0)


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


# Files that are missing


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
    (avss_copy / 'v1m/m1_0/audio.wav').unlink()
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
