import pytest
import torch

from mmcpm.models.losses import ForegroundDiceLoss
from mmcpm.models.losses.foreground_dice_loss import frame_dice


def test_by_hand():
    probability = torch.tensor([[[0.5, 1.0]], [[0.0, 0.0]]])
    target = torch.tensor([[[1.0, 1.0]], [[0.0, 0.0]]])
    # 2 * 1.5 / (1.25 + 2 + 0.002), and nothing where nothing is.
    expected = torch.tensor([1 - 3 / 3.252, 1.0])
    torch.testing.assert_close(frame_dice(probability, target), expected)


def test_classes_are_foreground_and_ignored_pixels_are_left_out():
    loss = ForegroundDiceLoss(loss_weight=0.1)
    logits = torch.tensor([0.3, -0.2, 1.0, 9.0]).view(1, 1, 2, 2)
    labels = torch.tensor([0, 5, 70, 255]).view(1, 2, 2)
    p = logits.sigmoid().flatten()[:3]
    expected = 1 - 2 * (p[1] + p[2]) / (p.square().sum() + 2 + 0.002)
    torch.testing.assert_close(loss(logits, labels), 0.1 * expected)


def test_frames_of_ignored_pixels_do_not_count():
    loss = ForegroundDiceLoss()
    logits = torch.randn(3, 1, 4, 4, requires_grad=True)
    labels = torch.ones(3, 4, 4, dtype=torch.long)
    labels[1] = 255
    kept = [0, 2]
    torch.testing.assert_close(
        loss(logits, labels), loss(logits[kept], labels[kept])
    )
    nothing = loss(logits, torch.full_like(labels, 255))
    nothing.backward()
    assert nothing == 0
    assert not logits.grad.any()


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_sums_in_float32(dtype):
    logits = torch.zeros(1, 1, 300, 300, dtype=dtype)
    labels = torch.ones(1, 300, 300, dtype=torch.long)
    # p = 1/2 everywhere: 1 - 2 * 0.5 / 1.25.
    assert ForegroundDiceLoss()(logits, labels) == pytest.approx(0.2, abs=1e-6)
