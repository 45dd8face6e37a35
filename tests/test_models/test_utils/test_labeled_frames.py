import torch
from mmseg.structures import SegDataSample

from mmcpm.models.utils.labeled_frames import select_labeled, weigh_losses
from mmcpm.structures import AudioFeatures


def select(*metas):
    count = len(metas)
    number = torch.arange(float(count))
    samples = [SegDataSample(metainfo=dict(m, number=k)) for k, m in
               enumerate(metas)]  # fmt: skip
    audio = AudioFeatures(
        [number[:, None]],
        number[:, None],
        clip_length=count,
        valid=torch.ones(count, dtype=torch.bool),
    )
    frames = select_labeled([number.view(-1, 1, 1, 1)], audio, samples)
    numbers = [sample.number for sample in frames.data_samples]
    for found in (
        frames.image_features[0],
        frames.audio.levels[0],
        frames.audio.embedding,
    ):
        assert found.flatten().tolist() == numbers
    assert (frames.audio.clip_length, frames.audio.valid) == (1, None)
    return numbers, frames.factor


def test_labeled_frames_are_kept():
    labeled, not_labeled = dict(labeled=True), dict(labeled=False)
    padded = dict(frame_valid=False)
    assert select({}, {}) == ([0, 1], 1.0)
    assert select(not_labeled, labeled, padded, {}) == ([1, 3], 1.0)


def test_one_stands_in_where_none_is_labeled():
    assert select(dict(labeled=False), dict(labeled=False)) == ([0], 0.0)


def test_what_is_only_logged_is_not_weighted():
    losses = {'loss_cls': 2.0, 'd0.loss_mask': 3.0, 'accuracy': 4.0}
    expected = {'loss_cls': 1.0, 'd0.loss_mask': 1.5, 'accuracy': 4.0}
    assert weigh_losses(losses, 0.5) == expected
    assert weigh_losses(losses, 1.0) == losses
