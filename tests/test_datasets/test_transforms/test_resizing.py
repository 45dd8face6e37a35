import numpy as np
import pytest

from mmcpm.datasets.transforms import RandomRescale, ResizeAsOriginal

pytestmark = pytest.mark.usefixtures('mmseg_scope')


@pytest.fixture(autouse=True)
def seeded():
    state = np.random.get_state()
    np.random.seed(0)
    yield
    np.random.set_state(state)


@pytest.mark.parametrize('size', [(90, 160), (40, 30)])
def test_factor_is_of_the_frames_own_size(size):
    rescale = RandomRescale(ratio_range=(0.5, 2.0))
    factors = []
    for _ in range(200):
        results = rescale(
            {
                'img': np.zeros((*size, 3), np.uint8),
                'gt_seg_map': np.zeros(size, np.uint8),
                'seg_fields': ['gt_seg_map'],
            }
        )
        height, width = results['img'].shape[:2]
        assert results['img_shape'] == (height, width)
        assert results['gt_seg_map'].shape == (height, width)
        factors.append(height / size[0])
        # The aspect ratio is kept up to rounding to whole pixels.
        assert abs(height / size[0] - width / size[1]) < 1.5 / min(size)
    assert 0.48 <= min(factors) < 0.55
    assert 1.9 < max(factors) <= 2.0
    assert np.mean(factors) == pytest.approx(1.25, abs=0.1)


def test_frames_of_mixed_sizes_stay_mixed():
    rescale = RandomRescale(ratio_range=(1.0, 1.0))
    for size in ((90, 160), (40, 30), (90, 160)):
        results = rescale({'img': np.zeros((*size, 3), np.uint8)})
        assert results['img'].shape[:2] == size


def test_label_map_keeps_its_values(rng):
    label_map = rng.choice([0, 7, 70, 255], (30, 40)).astype(np.uint8)
    results = RandomRescale(ratio_range=(1.7, 1.7))(
        {
            'img': np.zeros((30, 40, 3), np.uint8),
            'gt_seg_map': label_map,
            'seg_fields': ['gt_seg_map'],
        }
    )
    assert set(np.unique(results['gt_seg_map'])) == {0, 7, 70, 255}


def frame():
    label = np.zeros((40, 80), np.uint8)
    label[:, 40:] = 7
    return dict(
        img=np.full((40, 80, 3), 9, np.uint8),
        gt_seg_map=label,
        seg_fields=['gt_seg_map'],
        ori_shape=(40, 80),
        img_shape=(40, 80),
    )


def test_scores_are_taken_at_the_new_size():
    results = ResizeAsOriginal(size=(20, 30))(frame())
    assert results['ori_shape'] == results['img_shape'] == (30, 20)
    assert results['img'].shape == (30, 20, 3)
    # Class ids are not mixed.
    assert results['gt_seg_map'].shape == (30, 20)
    assert (results['gt_seg_map'][:, :10] == 0).all()
    assert (results['gt_seg_map'][:, 10:] == 7).all()


@pytest.mark.parametrize('size', [(224,), (0, 224)])
def test_size_is_checked(size):
    with pytest.raises(ValueError, match='width, height'):
        ResizeAsOriginal(size=size)
