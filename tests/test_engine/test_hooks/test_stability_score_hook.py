import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.runner import IterBasedTrainLoop

from mmcpm.engine.hooks import StabilityScoreHook
from mmcpm.engine.hooks.stability_score_hook import stability_score
from mmcpm.models import SetCriterion


def test_a_query_of_its_own_is_stable():
    score, skipped = stability_score(torch.eye(4, 10) * 7)
    assert score == pytest.approx(0, abs=1e-9)
    assert skipped == 0


def test_random_matches_have_full_entropy():
    score, _ = stability_score(torch.ones(3, 20))
    assert score == pytest.approx(math.log(20))


def test_by_hand_with_a_class_that_never_occurs():
    # Half and half: ln 2. Three quarters and one: about 0.5623.
    counts = torch.tensor([[2, 2, 0], [0, 0, 0], [3, 0, 1]])
    score, skipped = stability_score(counts)
    mixed = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert score == pytest.approx((math.log(2) + mixed) / 2)
    assert skipped == 1


def test_no_match_at_all():
    score, skipped = stability_score(torch.zeros(3, 4))
    assert math.isnan(score) and skipped == 3


@given(
    st.lists(
        st.lists(st.integers(0, 9), min_size=5, max_size=5),
        min_size=1,
        max_size=4,
    )
)
def test_bounds_and_order(counts):
    counts = torch.tensor(counts)
    score, skipped = stability_score(counts)
    if skipped == len(counts):
        return
    assert -1e-9 <= score <= math.log(5) + 1e-9
    shuffled = counts[:, torch.randperm(5)]
    assert stability_score(shuffled)[0] == pytest.approx(score)


def make_criterion(num_classes, num_queries):
    """A criterion that only counts."""
    parts = ('assigner', 'loss_cls', 'loss_mask', 'loss_dice')
    return SetCriterion(
        num_classes=num_classes,
        num_queries=num_queries,
        class_weight=[1.0] * (num_classes + 1),
        **dict.fromkeys(parts),
    )


class Recorder:
    def __init__(self):
        self.scalars, self.lines = [], []

    def add_scalar(self, name, value, step):
        self.scalars.append((name, value, step))

    def info(self, line):
        self.lines.append(line)


def test_epochs_are_scored_apart():
    criterion = make_criterion(num_classes=2, num_queries=4)
    recorder = Recorder()
    runner = SimpleNamespace(
        model=criterion, epoch=0, logger=recorder, visualizer=recorder
    )
    hook = StabilityScoreHook()
    for epoch, value in enumerate((math.log(4), 0.0)):
        runner.epoch = epoch
        hook.before_train_epoch(runner)
        assert criterion.match_counts.sum() == 0
        if epoch == 0:
            criterion.match_counts[:2] += 5  # both classes by all queries
        else:
            criterion.match_counts[:2, 1] += 5  # both by one query each
        criterion.match_counts[2] += 99  # "no object" is no class
        hook.after_train_epoch(runner)
        name, score, step = recorder.scalars[-1]
        assert (name, step) == ('stability_score', epoch + 1)
        assert score == pytest.approx(value, abs=1e-9)
    assert 'lower is better' in recorder.lines[0]


def test_heads_that_do_not_match_are_left_alone():
    recorder = Recorder()
    runner = SimpleNamespace(model=torch.nn.Identity(), logger=recorder)
    hook = StabilityScoreHook()
    hook.before_train(runner)
    assert len(recorder.lines) == 1 and 'no SetCriterion' in recorder.lines[0]
    hook.before_train_epoch(runner)
    hook.after_train_epoch(runner)


def test_without_epochs_validations_part_the_scores():
    criterion = make_criterion(num_classes=1, num_queries=4)
    recorder = Recorder()
    runner = SimpleNamespace(
        model=criterion,
        _train_loop=IterBasedTrainLoop.__new__(IterBasedTrainLoop),
        epoch=0,
        iter=0,
        logger=recorder,
        visualizer=recorder,
    )
    hook = StabilityScoreHook()
    hook.before_train_epoch(runner)
    criterion.match_counts[0] = 1
    runner.iter = 10
    hook.before_val_epoch(runner)
    criterion.match_counts[0, 1] = 7
    runner.iter = 20
    hook.before_val_epoch(runner)
    # The training ends with a validation: nothing was matched since.
    hook.after_train_epoch(runner)
    assert [scalar[2] for scalar in recorder.scalars] == [10, 20]
    assert recorder.scalars[0][1] == pytest.approx(math.log(4))
    assert recorder.scalars[1][1] == pytest.approx(0.0, abs=1e-9)
    assert recorder.lines[1].startswith('Iteration 20: stability_score 0.0')
