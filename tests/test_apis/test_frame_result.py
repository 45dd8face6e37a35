"""Scores of the classes of a frame."""

import math

import pytest
import torch

from mmcpm.apis.frame_result import score_classes

NAMES = ('background', 'dog', 'cat')


def test_scores_that_are_sums_of_probabilities():
    scores = torch.tensor(
        [[[0.1, 0.6], [0.9, 0.2]], [[0.3, 0.2], [0.0, 0.8]], [[0.1, 0.2]] * 2]
    )
    labels = torch.tensor([[1, 0], [0, 1]])
    (dog,) = score_classes(scores, labels, NAMES)
    # 0.3 of 0.5 and 0.8 of 1.2, on half of the frame.
    assert (dog.class_id, dog.name, dog.area) == (1, 'dog', 0.5)
    assert dog.score == pytest.approx((0.3 / 0.5 + 0.8 / 1.2) / 2)


def test_scores_that_are_logits():
    scores = torch.tensor([-1.0, 1.0, 0.0]).reshape(3, 1, 1).repeat(1, 2, 2)
    labels = torch.ones(2, 2, dtype=torch.long)
    (dog,) = score_classes(scores, labels, NAMES)
    share = math.e / (1 / math.e + math.e + 1)
    assert dog.score == pytest.approx(share) and dog.area == 1


def test_largest_class_comes_first():
    scores = torch.ones(3, 1, 4)
    labels = torch.tensor([[1, 2, 2, 0]])
    found = score_classes(scores, labels, NAMES)
    assert [one.name for one in found] == ['cat', 'dog']
    assert score_classes(scores, 0 * labels, NAMES) == []
