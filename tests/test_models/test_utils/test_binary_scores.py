import pytest
import torch

from mmcpm.models.utils.binary_scores import two_class_scores


def test_probability_is_the_sigmoid():
    logit = torch.tensor([-3.0, 0.5, 2.0]).view(1, 1, 1, 3)
    scores = two_class_scores(logit)
    assert scores.shape == (1, 2, 1, 3)
    assert torch.allclose(scores.softmax(1)[:, 1:], logit.sigmoid())
    assert scores.argmax(1).flatten().tolist() == [0, 1, 1]


def test_two_logits_are_refused():
    with pytest.raises(ValueError, match=r'\(1, 2, 4, 4\)'):
        two_class_scores(torch.zeros(1, 2, 4, 4))
