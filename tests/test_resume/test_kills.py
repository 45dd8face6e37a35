"""Trainings killed at any moment reach the weights of uninterrupted ones."""

import random
import signal
from pathlib import Path

import pytest
import torch

from mmcpm.engine.checkpoint_files import find_newest_whole_checkpoint

pytestmark = pytest.mark.slow


KILLS = [
    # moment, newest whole checkpoint after it, best checkpoints after it
    ('epoch 1 iteration 2', None, []),
    ('epoch 2 iteration 2', 'epoch_1.pth', [1]),
    ('half of epoch_2.pth', 'epoch_1.pth', [1]),
    ('validation 2', 'epoch_2.pth', [1]),
    ('half of best_dataset_mIoU_epoch_2.pth', 'epoch_2.pth', [1]),
    ('before removing best_dataset_mIoU_epoch_1.pth', 'epoch_2.pth', [1, 2]),
    ('before removing epoch_1.pth', 'epoch_3.pth', [2]),
    ('validation 3', 'epoch_3.pth', [2]),
]


def test_killed_at_every_moment(
    trainings, whole, tmp_path, assert_same_training, checkpoints
):
    """One training, killed and resumed eight times."""
    for moment, newest, best in KILLS:
        code, output = trainings.run(tmp_path, '--resume', KILL_AT=moment)
        assert code == -signal.SIGKILL, (moment, output)
        found = find_newest_whole_checkpoint(str(tmp_path))
        assert (found and Path(found).name) == newest, moment
        assert [
            name for name in checkpoints(tmp_path) if name.startswith('best')
        ] == [f'best_dataset_mIoU_epoch_{epoch}.pth' for epoch in best], moment
    assert 'Epoch 2 was not validated' not in output
    code, output = trainings.run(tmp_path, '--resume')
    assert code == 0, output
    assert 'Epoch 3 was not validated before the interruption' in output
    assert 'Nothing is left to train' in output
    assert_same_training(tmp_path, whole)


def test_killed_at_random_moments(
    trainings, tmp_path, assert_same_training, checkpoints
):
    """CPM with workers, random frames, augmentation and averaged weights.

    Here another process kills, and it may come at any moment at all.
    """
    reference = trainings.folder / 'whole_augmented'
    scores = '0.3 0.1 0.2'
    code, output = trainings.run(reference, config='augmented', SCORES=scores)
    assert code == 0, output
    state = torch.load(reference / 'epoch_3.pth')
    assert 'ema_state_dict' in state
    # The mixtures have members, and have been fitted.
    assert any(
        name.endswith('cls_embed.bank') and value.any()
        for name, value in state['state_dict'].items()
    )
    assert checkpoints(reference)[0] == 'best_dataset_mIoU_epoch_1.pth'

    moments = random.Random()
    kills = ['epoch 2 iteration 3', 'half of epoch_2.pth', 'random', 'random']
    for moment in kills:
        code, output = trainings.run(
            tmp_path,
            '--resume',
            config='augmented',
            SCORES=scores,
            KILL_AT=moment,
            kill_after=moments.uniform(1, 4) if moment == 'random' else None,
        )
        assert code in (0, -signal.SIGKILL), (moment, output)
    code, output = trainings.run(
        tmp_path, '--resume', config='augmented', SCORES=scores
    )
    assert code == 0, output
    assert_same_training(tmp_path, reference)


def test_killed_where_there_are_no_epochs(
    trainings, tmp_path, assert_same_training
):
    """All hooks work, and the same weights are reached."""
    reference = trainings.folder / 'whole_iterations'
    code, output = trainings.run(reference, config='iterations')
    assert code == 0, output
    assert 'Iteration 8: stability_score' in output
    assert 'EpochSeedHook' not in output.rsplit('Checkpoints will be')[-1]
    state = torch.load(reference / 'iter_8.pth')
    averages, weights = state['ema_state_dict'], state['state_dict']
    mixtures = 'decode_head.cls_embed.'
    assert int(weights[f'{mixtures}num_steps']) == 8
    for name in ('num_steps', 'count', 'bank', 'mean', 'log_weight'):
        name = mixtures + name
        assert torch.equal(averages[f'module.{name}'], weights[name])
    code, output = trainings.run(
        tmp_path, config='iterations', KILL_AT='epoch 1 iteration 6'
    )
    assert code == -signal.SIGKILL, output
    code, output = trainings.run(tmp_path, '--resume', config='iterations')
    assert code == 0, output
    assert_same_training(tmp_path, reference)
