import cv2
import numpy as np
import pytest
import torch
from mmseg.registry import TRANSFORMS

from mmcpm.datasets.errors import FrameReadError
from mmcpm.datasets.transforms import (
    LoadMaskige,
    PackMaskigeInputs,
    SplitMaskige,
)


@pytest.fixture
def maskige(tmp_path, rng):
    """A stored maskige, BGR."""
    picture = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    (tmp_path / 'clip').mkdir()
    cv2.imwrite(str(tmp_path / 'clip/0.png'), picture)
    return picture


@pytest.fixture
def results(rng):
    return dict(
        img=rng.integers(0, 256, (6, 8, 3), dtype=np.uint8),
        gt_seg_map=rng.integers(0, 9, (6, 8), dtype=np.uint8),
        audio=np.zeros((1, 10), np.float32),
        sample_id='clip/0',
    )


def test_one_way_through_all_transforms(tmp_path, maskige, results):
    """What moves the frame moves the maskige, and colors leave it alone."""
    frame = results['img'].copy()
    loaded = LoadMaskige(str(tmp_path))(results)
    assert loaded['img'].shape == (6, 8, 6)
    flip = TRANSFORMS.build(dict(type='mmseg.RandomFlip', prob=1.0))
    crop = TRANSFORMS.build(dict(type='mmseg.RandomCrop', crop_size=(6, 4)))
    loaded['seg_fields'] = ['gt_seg_map']
    moved = SplitMaskige()(crop(flip(loaded)))
    assert moved['img'].shape == (6, 4, 3)
    packed = PackMaskigeInputs()(moved)
    image = packed['inputs'].numpy().transpose(1, 2, 0)
    sample = packed['data_samples']
    picture = sample.maskige.numpy().transpose(1, 2, 0)
    mirrored = frame[:, ::-1]
    (left,) = [
        k for k in range(5) if np.array_equal(mirrored[:, k : k + 4], image)
    ]
    assert np.array_equal(maskige[:, ::-1][:, left : left + 4], picture)
    assert sample.maskige.dtype == torch.uint8


def test_resizing_takes_six_channels(tmp_path, maskige, results):
    frame = results['img'].copy()
    resize = TRANSFORMS.build(dict(type='mmseg.Resize', scale=(16, 12)))
    found = SplitMaskige()(resize(LoadMaskige(str(tmp_path))(results)))
    for name, picture in (('img', frame), ('maskige', maskige)):
        expected = cv2.resize(picture, (16, 12))
        assert np.abs(found[name].astype(int) - expected).max() <= 1


def test_packing_splits_as_well(tmp_path, maskige, results):
    packed = PackMaskigeInputs()(LoadMaskige(str(tmp_path))(results))
    assert packed['inputs'].shape == packed['data_samples'].maskige.shape


def test_missing_maskige(tmp_path, results):
    with pytest.raises(FrameReadError, match='clip/0.png: no such file'):
        LoadMaskige(str(tmp_path))(results)
    with pytest.raises(KeyError, match='LoadMaskige'):
        PackMaskigeInputs()(results)


def test_maskige_of_another_size(tmp_path, maskige, results):
    results['img'] = results['img'][:5]
    with pytest.raises(FrameReadError, match=r'\(6, 8, 3\).*\(5, 8, 3\)'):
        LoadMaskige(str(tmp_path))(results)
