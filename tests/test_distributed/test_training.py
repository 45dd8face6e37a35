"""Several ranks train and evaluate as one would."""

import json
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow


ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def trained(ranks):
    """Work dir of an uninterrupted training on two ranks, and its output."""
    work_dir = ranks.folder / 'whole'
    return work_dir, ranks.train(work_dir)


def test_ranks_hold_the_same_model(trained):
    work_dir, output = trained
    first, second = (
        torch.load(work_dir / f'rank_{rank}.state') for rank in range(2)
    )
    assert first['iterations'] == second['iterations'] == 4
    assert not set(first['samples']) & set(second['samples'])
    assert len(first['samples']) == len(second['samples']) == 4
    saved = torch.load(work_dir / 'epoch_2.pth')['state_dict']
    assert first['weights'].keys() == second['weights'].keys() == saved.keys()
    for name, weight in saved.items():
        assert torch.equal(first['weights'][name], weight), name
        assert torch.equal(second['weights'][name], weight), name
    # Once, not by both.
    assert output.count('SyncBN needs CUDA') == 1
    assert output.count('Saving checkpoint at 2 epochs') == 1


def test_killed_rank_ends_the_run_and_resuming_is_exact(
    trained, ranks, assert_same
):
    whole, _ = trained
    work_dir = ranks.folder / 'parts'
    output = ranks.train(work_dir, expected=1, KILL_AT='rank 1 iteration 4')
    assert 'Rank 1 was ended by SIGKILL' in output
    assert not (work_dir / 'epoch_2.pth').exists()
    ranks.train(work_dir, '--resume')
    for name in ('epoch_2.pth', 'rank_0.state', 'rank_1.state'):
        one, other = torch.load(work_dir / name), torch.load(whole / name)
        for key in {'state_dict', 'optimizer', 'weights'} & one.keys():
            assert_same(one[key], other[key])


def test_scores_are_those_of_one_rank(trained, ranks):
    """To the last bit, with a number of frames that two do not divide."""
    work_dir, output = trained
    best = next(work_dir.glob('best_*.pth'))
    scores = {}
    for name, tool in (
        ('two', [ROOT / 'tools/dist_test.sh', ranks.config, best, 2]),
        ('one', [sys.executable, ROOT / 'tools/test.py', ranks.config, best]),
    ):
        file = ranks.folder / f'{name}.json'
        arguments = ['--scores', file, '--work-dir', ranks.folder / name]
        log = ranks.run([*tool, *arguments])
        assert 'over 5 frames' in log
        scores[name] = json.loads(file.read_text())['metrics']
    assert scores['two'] == scores['one']
    # The validation of the training saw the weights that were saved.
    epoch = best.stem[-1]
    lines = [line for line in output.split('\n') if f'(val) [{epoch}]' in line]
    shown = f'dataset/mIoU: {scores["one"]["dataset/mIoU"]:.4f}'
    assert shown in lines[-1]


def test_one_rank_cannot_continue_two(trained, ranks, tmp_path):
    """Its epochs would be twice as long."""
    work_dir, _ = trained
    output = ranks.run(
        [
            sys.executable,
            ROOT / 'tools/train.py',
            ranks.config,
            '--work-dir',
            tmp_path,
            '--resume',
            work_dir / 'epoch_1.pth',
        ],
        expected=2,
    )
    message = output.rsplit('train.py: error: ', 1)[-1]
    assert '2 per epoch' in message
    assert '4 per epoch (batch 2 on 1 process(es))' in message
    assert 'Traceback' not in output


def test_fault_of_all_ranks_is_told_once(ranks, tmp_path):
    output = ranks.train(tmp_path, '--data-root', 'nowhere', expected=2)
    assert output.count('error: --data-root is not a folder') == 1
    assert 'Traceback' not in output


@pytest.mark.parametrize('script', ['dist_train.sh', 'dist_test.sh'])
def test_scripts_show_their_usage(ranks, script):
    output = ranks.run([ROOT / 'tools' / script, 'config.py'], expected=2)
    assert output.startswith('usage:') and 'GPUS' in output
