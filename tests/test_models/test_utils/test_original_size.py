import pytest
import torch
from mmseg.models.segmentors import EncoderDecoder
from mmseg.structures import SegDataSample

from mmcpm.models.utils.original_size import restore_original

META = {
    'same': dict(ori_shape=(24, 40)),
    'padded': dict(ori_shape=(20, 37), img_padding_size=(0, 3, 0, 4)),
    'padded in the pipeline': dict(
        ori_shape=(20, 37), padding_size=[1, 2, 3, 1]
    ),
    'test padding wins': dict(
        ori_shape=(24, 38), img_padding_size=(0, 2, 0, 0), padding_size=[9] * 4
    ),
    'resized': dict(ori_shape=(50, 31)),
    'flipped': dict(
        ori_shape=(24, 40), flip=True, flip_direction='horizontal'
    ),
    'upside down': dict(
        ori_shape=(12, 20),
        flip=True,
        flip_direction='vertical',
        img_padding_size=(2, 0, 1, 0),
    ),
}


@pytest.mark.parametrize('name', META)
def test_frames_are_those_of_mmseg(tiny_model, name):
    scores = torch.rand(2, 5, 24, 40)
    samples = [SegDataSample(metainfo=META[name]) for _ in range(2)]
    expected = EncoderDecoder.postprocess_result(
        tiny_model, scores.clone(), [sample.clone() for sample in samples]
    )
    actual = tiny_model.postprocess_result(scores, samples)
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one.seg_logits.data, other.seg_logits.data)
        assert torch.equal(one.pred_sem_seg.data, other.pred_sem_seg.data)


def test_scores_of_the_right_size_are_not_touched():
    scores = torch.rand(5, 24, 40)
    restored = restore_original(scores, META['same'])
    assert restored.data_ptr() == scores.data_ptr()


def test_without_frames_the_size_stays(tiny_model):
    (result,) = tiny_model.postprocess_result(torch.rand(1, 5, 24, 40))
    assert result.pred_sem_seg.data.shape == (1, 24, 40)
