"""What a training that goes on takes from its checkpoint, and refuses."""

import shutil
import signal

import pytest

pytestmark = pytest.mark.slow


def test_damaged_newest_checkpoint(
    trainings, whole, tmp_path, assert_same_training
):
    work_dir = shutil.copytree(whole, tmp_path / 'work')
    newest = work_dir / 'epoch_3.pth'
    newest.write_bytes(newest.read_bytes()[:-1000])
    code, output = trainings.run(work_dir, '--resume')
    assert code == 0, output
    assert 'epoch_3.pth is damaged (truncated or altered)' in output
    assert 'goes on from epoch 2' in output
    assert_same_training(work_dir, whole)


def test_changed_learning_rate_is_told_and_has_no_effect(
    trainings, whole, tmp_path, assert_same_training
):
    """Optimizer and schedule go on as they were."""
    work_dir = shutil.copytree(whole, tmp_path / 'work')
    (work_dir / 'epoch_3.pth').unlink()
    code, output = trainings.run(
        work_dir,
        '--resume',
        '--cfg-options',
        'optim_wrapper.optimizer.lr=0.5',
        'train_dataloader.prefetch_factor=None',
    )
    assert code == 0, output
    assert (
        'The configuration is not that of the checkpoint:\n'
        '  optim_wrapper.optimizer.lr: 0.001 -> 0.5\n' in output
    )
    assert 'have no effect' in output
    assert_same_training(work_dir, whole)


def test_finished_training(trainings, whole, tmp_path, checkpoints):
    work_dir = shutil.copytree(whole, tmp_path / 'work')
    before = {
        name: (work_dir / name).read_bytes() for name in checkpoints(whole)
    }
    code, output = trainings.run(work_dir, '--resume')
    assert code == 0, output
    assert 'The training was finished: 3 of 3 epochs' in output
    assert 'is not that of the checkpoint' not in output
    assert 'Traceback' not in output
    assert before == {
        name: (work_dir / name).read_bytes() for name in checkpoints(work_dir)
    }


def test_resumed_seed_is_that_of_the_first_part(
    trainings, tmp_path, assert_same_training
):
    """The command that resumes need not repeat --seed."""
    reference, work_dir = tmp_path / 'whole', tmp_path / 'parts'
    last = ('--cfg-options', 'train_cfg.max_epochs=2')
    code, output = trainings.run(reference, '--seed', 7, *last)
    assert code == 0, output
    code, output = trainings.run(
        work_dir, '--seed', 7, *last, KILL_AT='epoch 2 iteration 1'
    )
    assert code == -signal.SIGKILL, output
    code, output = trainings.run(work_dir, '--resume', *last)
    assert code == 0, output
    assert_same_training(work_dir, reference)


def test_resuming_needs_no_pretrained_weights(
    trainings, whole, tmp_path, assert_same_training
):
    """The checkpoint has them all."""
    work_dir = shutil.copytree(whole, tmp_path / 'work')
    code, output = trainings.run(work_dir, '--resume', config='pretrained')
    assert code == 0, output
    assert_same_training(work_dir, whole)
    code, output = trainings.run(tmp_path / 'new', config='pretrained')
    assert code == 2, output
    assert 'The pretrained weights of backbone could not be read' in output
    assert 'gone.pth' in output


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (
            ['train_dataloader.batch_size=3'],
            ['3 per epoch', '2 per epoch (batch 3 on 1', 'load_from='],
        ),
        (['model.decode_head.num_queries=5'], ['does not fit the model']),
    ],
)
def test_another_configuration_is_refused(
    trainings, whole, tmp_path, options, expected, checkpoints
):
    code, output = trainings.run(
        tmp_path, '--resume', whole / 'epoch_2.pth', '--cfg-options', *options
    )
    assert code == 2, output
    assert 'train.py: error: ' in output
    for text in expected:
        assert text in output.rsplit('error: ')[-1]
    assert 'Traceback' not in output
    assert not checkpoints(tmp_path)
