import copy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.structures import PixelData
from mmseg.registry import MODELS, TRANSFORMS
from mmseg.structures import SegDataSample

from mmcpm.models.segmentors.av_tta import AVSegTTAModel
from mmcpm.structures import AVPrediction

CONFIGS = Path(__file__).resolve().parents[3] / 'configs'


class Segmentor(torch.nn.Module):
    """Gives back the scores that are its inputs."""

    out_channels = 2

    def test_step(self, data):
        samples = copy.deepcopy(list(data['data_samples']))
        for sample, scores in zip(samples, data['inputs'], strict=True):
            sample.seg_logits = PixelData(data=scores.clone())
            prediction = scores.argmax(0, keepdim=True)
            sample.pred_sem_seg = PixelData(data=prediction)
        return samples


def view(flip=False, label_size=(2, 3), number=0):
    sample = SegDataSample(
        metainfo=dict(
            flip=flip,
            ori_shape=(2, 3),
            img_path=f'clip/{number}.jpg',
            sample_id=f'clip/{number}',
        )
    )
    label = torch.full((1, *label_size), number)
    sample.gt_sem_seg = PixelData(data=label)
    return sample


# --- Averaging ---


def test_scores_are_averaged_once():
    """Another softmax would flatten the first view's certainty."""
    values = [(3.0, 0.0), (0.0, 1.4), (0.0, 1.4)]
    views = [torch.tensor(v).view(2, 1, 1).expand(2, 2, 3) for v in values]
    softmax_mean = torch.tensor(values).softmax(1).mean(0)
    assert softmax_mean.argmax() == 1
    data = dict(
        inputs=[[scores] for scores in views],
        data_samples=[[view()], [view(flip=True)], [view(flip=True)]],
    )
    (merged,) = AVSegTTAModel(Segmentor()).test_step(data)
    torch.testing.assert_close(
        merged.seg_logits.data[:, 0, 0], torch.tensor([1.0, 2.8 / 3])
    )
    assert torch.equal(
        merged.pred_sem_seg.data, torch.zeros(1, 2, 3, dtype=torch.long)
    )


def test_frames_of_a_batch_stay_apart():
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(3, 4, 2, 2, 3, generator=generator)  # views, frames
    data = dict(
        inputs=[list(frames) for frames in scores],
        data_samples=[
            [view(flip=number == 1, number=n) for n in range(4)]
            for number in range(3)
        ],
    )
    before = scores.clone()
    merged = AVSegTTAModel(Segmentor()).test_step(data)
    for n, sample in enumerate(merged):
        torch.testing.assert_close(
            sample.seg_logits.data, scores[:, n].mean(0)
        )
        assert sample.sample_id == f'clip/{n}'
        assert (sample.gt_sem_seg.data == n).all()
    assert torch.equal(scores, before)


def test_merge_preds_is_the_same():
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(2, 1, 2, 2, 3, generator=generator)
    data = dict(
        inputs=[list(frames) for frames in scores],
        data_samples=[[view()], [view(flip=True)]],
    )
    model = AVSegTTAModel(Segmentor())
    (expected,) = model.test_step(data)
    views = [
        model.module.test_step({key: data[key][i] for key in data})[0]
        for i in range(2)
    ]
    (merged,) = model.merge_preds([views])
    assert torch.equal(merged.seg_logits.data, expected.seg_logits.data)


@pytest.mark.parametrize('order', [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_label_of_the_frame_as_it_is(order):
    views = [
        view(),
        view(flip=True, number=1),
        view(label_size=(4, 6), number=2),
    ]
    data = dict(
        inputs=[[torch.rand(2, 2, 3)] for _ in order],
        data_samples=[[views[i]] for i in order],
    )
    (merged,) = AVSegTTAModel(Segmentor()).test_step(data)
    assert merged.gt_sem_seg.shape == (2, 3)
    assert merged.sample_id == 'clip/0' and not merged.flip


def test_without_such_a_view_the_label_is_not_guessed():
    data = dict(
        inputs=[[torch.rand(2, 2, 3)]], data_samples=[[view(flip=True)]]
    )
    with pytest.raises(ValueError, match=r'clip/0.jpg.*prob=0.0'):
        AVSegTTAModel(Segmentor()).test_step(data)


def test_one_output_channel_is_refused():
    segmentor = Segmentor()
    segmentor.out_channels = 1
    with pytest.raises(ValueError, match='num_classes=2'):
        AVSegTTAModel(segmentor)


# --- The segmentor itself ---


def mirrored(batch):
    """The batch mirrored, frame and sound, as the pipeline does it."""
    batch = copy.deepcopy(batch)
    batch['inputs'] = [image.flip(-1) for image in batch['inputs']]
    for sample in batch['data_samples']:
        sample.audio = sample.audio.flip(0)
        sample.set_metainfo(dict(flip=True, flip_direction='horizontal'))
    return batch


def test_predictions_are_turned_back(tiny_model, make_batch):
    """The mean of both views is that of the plain predictions."""
    tiny_model.eval()
    plain = make_batch()
    other = mirrored(plain)
    with torch.no_grad():
        first = tiny_model.test_step(copy.deepcopy(plain))
        second = tiny_model.test_step(copy.deepcopy(other))
        merged = AVSegTTAModel(tiny_model).test_step(
            {key: [plain[key], other[key]] for key in plain}
        )
    for one, two, mean in zip(first, second, merged, strict=True):
        expected = (one.seg_logits.data + two.seg_logits.data) / 2
        torch.testing.assert_close(mean.seg_logits.data, expected)
        assert torch.equal(mean.audio_query_classes, one.audio_query_classes)


def test_model_that_only_looks_left(tiny_model, make_batch):
    """A mirrored view is worth its scores at the mirrored place."""
    tiny_model.eval()
    batch = make_batch(batch_size=1)
    raw = torch.zeros(1, 9, 64, 64)
    raw[:, 5, :, :10] = 1.0
    tiny_model.whole_inference = lambda *args: AVPrediction(raw)
    data = {key: [batch[key], mirrored(batch)[key]] for key in batch}
    with torch.no_grad():
        (merged,) = AVSegTTAModel(tiny_model).test_step(data)
    row = merged.seg_logits.data[5, 0]
    assert row.nonzero().flatten().tolist() == [*range(10), *range(54, 64)]
    assert (row[row > 0] == 0.5).all()
    assert raw.sum() == 640  # Not the place to add up in.


# --- The shipped pipelines ---


@pytest.fixture
def stereo_frame(tmp_path):
    """A frame, its label and a sound on the left, on disk."""
    import soundfile

    image = np.zeros((40, 60, 3), np.uint8)
    image[:, :20] = 200
    label = np.zeros((40, 60), np.uint8)
    label[:, :20] = 3
    cv2.imwrite(str(tmp_path / '0.png'), image)
    cv2.imwrite(str(tmp_path / 'label.png'), label)
    sound = np.zeros((16000, 2), np.float32)
    sound[:, 0] = 0.5
    soundfile.write(tmp_path / 'audio.wav', sound, 16000)
    return dict(
        img_path=str(tmp_path / '0.png'),
        seg_map_path=str(tmp_path / 'label.png'),
        audio_path=str(tmp_path / 'audio.wav'),
        frame_index=0,
        num_label_values=71,
        reduce_zero_label=False,
        seg_fields=[],
        sample_id='clip/0',
    )


@pytest.mark.parametrize('name', ['avss', 'sounding_scenes_demo'])
def test_pipeline_swaps_the_channels(mmseg_scope, stereo_frame, name):
    cfg = Config.fromfile(CONFIGS / f'_base_/datasets/{name}.py')
    assert cfg.tta_model.type == 'AVSegTTAModel'
    assert MODELS.get(cfg.tta_model.type) is AVSegTTAModel
    cfg.tta_pipeline[1].channels = 'stereo'
    views = Compose([TRANSFORMS.build(t) for t in cfg.tta_pipeline])(
        stereo_frame
    )
    assert len(views['inputs']) == 6
    sizes, flips = set(), []
    for image, sample in zip(
        views['inputs'], views['data_samples'], strict=True
    ):
        sizes.add(tuple(image.shape[1:]))
        # What sounds left is seen left, mirrored or not.
        left_is_bright = image[0, 5, 2] > 100
        left_is_loud = sample.audio[0].abs().max() > 0.4
        assert left_is_bright == left_is_loud
        assert sample.audio.abs().sum(1).gt(0).sum() == 1
        assert left_is_bright != sample.flip
        assert sample.ori_shape == (40, 60)
        flips.append(sample.flip)
    assert sizes == {(40, 60), (30, 45), (50, 75)}
    assert sum(flips) == 3


def test_pipeline_model_and_label_fit(mmseg_scope, stereo_frame, tiny_model):
    """Views of six kinds end as one prediction of the frame's size."""
    tiny_model.eval()
    cfg = Config.fromfile(CONFIGS / '_base_/datasets/sounding_scenes_demo.py')
    pipeline = Compose([TRANSFORMS.build(t) for t in cfg.tta_pipeline])
    data = pseudo_collate([pipeline(copy.deepcopy(stereo_frame))] * 2)
    with torch.no_grad():
        merged = AVSegTTAModel(tiny_model).test_step(data)
    assert len(merged) == 2
    for sample in merged:
        assert sample.pred_sem_seg.data.shape == (1, 40, 60)
        assert sample.seg_logits.data.shape == (9, 40, 60)
        assert (sample.gt_sem_seg.data[0, :, :20] == 3).all()
        assert (sample.gt_sem_seg.data[0, :, 20:] == 0).all()
