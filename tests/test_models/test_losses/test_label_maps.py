import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmcpm.models.losses.label_maps import read_label_maps


def sample(*classes):
    labels = torch.tensor([classes]).expand(2, -1)[None]
    found = SegDataSample(metainfo=dict(img_path=f'{classes}.jpg'))
    found.gt_sem_seg = PixelData(data=labels)
    return found


def test_maps_and_classes():
    maps, classes = read_label_maps([sample(2, 0, 2), sample(255, 1, 1)], 3)
    assert maps.tolist() == [[[2, 0, 2]] * 2, [[255, 1, 1]] * 2]
    assert classes == [[0, 2], [1]]


def test_classes_of_another_subset_are_refused():
    with pytest.raises(ValueError, match=r'\(0, 2\)\.jpg hold the classes'):
        read_label_maps([sample(0, 1), sample(0, 2)], 2)
