import pytest
import torch

from mmcpm.models.utils.prompt_stats import prompt_overlap, prompt_stats


def test_overlap_by_hand():
    # Two channels: the masks of the prompts are the columns they point to.
    feature = torch.full((1, 2, 4, 4), -1.0)
    feature[0, 0, :, :2] = 1.0  # The left half.
    feature[0, 1, :, 3] = 1.0  # The last column.
    embedding = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]])
    label = torch.zeros(1, 4, 4, dtype=torch.int64)
    label[0, :, 1:3] = 5
    label[0, 0, 3] = 2
    overlap, seen = prompt_overlap(
        embedding, feature, label, torch.tensor([[5, 2, 7]])
    )
    # Columns 0, 1 and 1, 2 share one of three; 1 of 4 pixels; none of 4.
    torch.testing.assert_close(overlap, torch.tensor([[1 / 3, 1 / 4, 0.0]]))
    assert seen.tolist() == [[True, True, False]]


def test_labels_are_brought_to_the_size_of_the_masks():
    feature = torch.full((1, 1, 2, 2), -1.0)
    feature[0, 0, 0, 0] = 1.0
    label = torch.zeros(1, 8, 8, dtype=torch.int64)
    label[0, :4, :4] = 3
    overlap, seen = prompt_overlap(
        torch.ones(1, 1, 1), feature, label, torch.tensor([[3]])
    )
    assert overlap.item() == 1 and seen.item()


def test_padding_is_not_seen():
    label = torch.zeros(1, 4, 4, dtype=torch.int64)
    _, seen = prompt_overlap(
        torch.ones(1, 2, 1), torch.ones(1, 1, 4, 4), label, -torch.ones(1, 2)
    )
    assert not seen.any()


def test_health_by_hand():
    labels = torch.tensor([[1, 3], [2, -1]])
    scores = torch.full((2, 2, 5), 0.0)
    for b, k, named in ((0, 0, 1), (0, 1, 4), (1, 0, 2), (1, 1, 0)):
        scores[b, k, named] = 5.0
    valid = torch.tensor([[True, True], [False, False]])
    overlap = torch.tensor([[0.5, 0.25], [1.0, 1.0]])
    seen = torch.tensor([[True, False], [True, True]])
    health = prompt_stats(scores, overlap, seen, labels, valid)
    assert health['prompt_accuracy'] == pytest.approx(1 / 2)
    assert health['prompts_ready'] == pytest.approx(2 / 3)
    # Of the ready ones, only the first has a pixel in the crop.
    assert health['prompt_iou'] == pytest.approx(0.5)


def test_no_prompt_is_no_trouble():
    none = torch.zeros(1, 1, dtype=torch.bool)
    health = prompt_stats(
        torch.zeros(1, 1, 3), torch.zeros(1, 1), none, -torch.ones(1, 1), none
    )
    assert {value.item() for value in health.values()} == {0.0}
