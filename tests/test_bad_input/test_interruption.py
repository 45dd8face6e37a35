"""Programs that are stopped half-way."""

import multiprocessing
import os
import runpy
import sys
import time
from pathlib import Path

import pytest
from mmengine.runner import EpochBasedTrainLoop

from mmcpm.engine.checkpoint_files import is_whole_checkpoint

TOOL = (
    Path(__file__).resolve().parents[2]
    / 'tools/dataset_converters/make_sounding_scenes.py'
)


def test_training_is_interrupted(tools, monkeypatch):
    run_iter = EpochBasedTrainLoop.run_iter

    def interrupt(loop, index, batch):
        if loop.epoch == 1:
            raise KeyboardInterrupt
        run_iter(loop, index, batch)

    monkeypatch.setattr(EpochBasedTrainLoop, 'run_iter', interrupt)
    with pytest.raises(SystemExit) as stop:
        tools.train('train_cfg.max_epochs=3')
    assert stop.value.code == 130
    error = tools.capsys.readouterr().err
    assert error.splitlines()[-1] == (
        'train.py: interrupted. --resume continues from the last whole '
        'checkpoint'
    )
    assert 'Traceback' not in error
    assert is_whole_checkpoint('work/epoch_1.pth')


def test_test_is_interrupted(tools, weights, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr('mmengine.runner.TestLoop.run_iter', interrupt)
    with pytest.raises(SystemExit) as stop:
        tools.test(weights)
    assert stop.value.code == 130
    assert 'test.py: interrupted.\n' in tools.capsys.readouterr().err


def make_scenes(root, *options):
    """Run the tool, in this process."""
    sys.argv = [str(TOOL), str(root), '--size', '32', '--workers', '2']
    sys.argv += ['--clips', '40', '2', '2', *options]
    runpy.run_path(str(TOOL), run_name='__main__')


def kill_midway(root, *options):
    """Start the tool, and kill it when it has written some clips."""
    process = multiprocessing.get_context('fork').Process(
        target=make_scenes, args=(root, *options)
    )
    process.start()
    deadline = time.monotonic() + 120
    while len(list(root.parent.glob('.*partial*/v*/*'))) < 3:
        assert process.is_alive() and time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.join()


def files(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


def test_making_scenes_is_killed_and_done_again(tmp_path, monkeypatch):
    """The first time, and while an earlier data set is being replaced."""
    monkeypatch.setattr('sys.argv', [])
    root = tmp_path / 'scenes'
    kill_midway(root)
    assert not root.exists()
    assert len(os.listdir(tmp_path)) == 1  # What the kill left behind.
    make_scenes(root)
    assert os.listdir(tmp_path) == ['scenes']
    first = files(root)
    kill_midway(root, '--seed', '1', '--overwrite')
    assert files(root) == first
    # The next run finds the data whole, and clears away the rest.
    make_scenes(root)
    assert files(root) == first
    assert os.listdir(tmp_path) == ['scenes']
