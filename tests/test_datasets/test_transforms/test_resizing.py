import numpy as np
import pytest

from mmcpm.datasets.transforms import ResizeAsOriginal


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
