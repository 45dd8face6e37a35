"""tools/dataset_converters/folder.py, and the recipe for own data."""

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.visualization import Visualizer

import mmcpm

ROOT = Path(mmcpm.__file__).parents[1]
TOOL = ROOT / 'tools/dataset_converters/folder.py'

README = ROOT / 'tools/dataset_converters/README.md'


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the tool; gives its exit code, output and errors."""

    def run_tool(*arguments):
        arguments = [str(argument) for argument in arguments]
        monkeypatch.setattr(sys, 'argv', [str(TOOL), *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(TOOL), run_name='__main__')
        told = capsys.readouterr()
        return ended.value.code or 0, told.out, told.err

    return run_tool


def test_exit_codes(run, folder_root, tmp_path):
    code, out, _ = run(folder_root, '--check', '--workers', 0)
    assert code == 0 and '0 fault(s), 0 note(s)' in out
    (folder_root / 'val/audio/c0.wav').unlink()
    report = tmp_path / 'report.csv'
    code, out, _ = run(
        folder_root, '--check', '--workers', 0, '--report', report
    )
    assert code == 1
    assert 'val/frames/c0/0.png: no sound audio/c0/0.wav nor audio/c0' in out
    assert len(report.read_text().splitlines()) == 4
    code, _, err = run(folder_root, '--check', '--classes', 'absent')
    assert code == 2
    assert 'class list' in err and 'Traceback' not in err
    code, _, err = run(folder_root)
    assert code == 2 and '--check' in err


def recipe():
    """The blocks of code under the heading 'Your own data', by language."""
    text = README.read_text()
    section = re.split(r'^#+ ', text.split('# Your own data\n')[1], flags=re.M)
    blocks = re.findall(r'```(\w+)\n(.*?)```', section[0], re.S)
    return dict(blocks)


def test_recipe_works_as_printed(folder_root, tmp_path, monkeypatch, capsys):
    here = tmp_path / 'clone'
    (here / 'data').mkdir(parents=True)
    for split in ('train', 'val', 'test'):  # Four frames are enough.
        for clip in ('c1', 'c2', 'c3'):
            for part in ('frames', 'labels'):
                shutil.rmtree(folder_root / split / part / clip)
            (folder_root / split / 'audio' / f'{clip}.wav').unlink()
    folder_root.rename(here / 'data/my_dataset')
    for name in ('configs', 'tools'):
        (here / name).symlink_to(ROOT / name)
    monkeypatch.chdir(here)
    monkeypatch.setenv('LOCAL_RANK', '0')
    commands = recipe()['bash'].strip().splitlines()
    assert len(commands) == 3
    for command in commands:
        shell = ['bash', '-c', f'printf "%s\\n" {command}']
        words = subprocess.run(shell, capture_output=True, text=True)
        python, *arguments = words.stdout.splitlines()
        assert python == 'python'
        if 'tools/train.py' in arguments:  # Two more would show no more.
            arguments += ['--cfg-options', 'train_cfg.max_epochs=1']
        monkeypatch.setattr(sys, 'argv', arguments)
        for manager in (MMLogger, MessageHub, Visualizer):
            manager._instance_dict.clear()
        try:
            runpy.run_path(arguments[0], run_name='__main__')
        except SystemExit as ended:
            assert not ended.code, capsys.readouterr().err[-2000:]
    # The copy of the config says the number that the list gave.
    copy = Config.fromfile('work_dirs/cpm_r18_folder/cpm_r18_folder.py')
    assert copy.model.decode_head.num_classes == 3
    assert list(Path('work_dirs/cpm_r18_folder').glob('epoch_*.pth'))


def test_config_of_the_recipe_is_read(tmp_path):
    path = tmp_path / 'mine.py'
    printed = recipe()['python']
    path.write_text(printed.replace("'./", f"'{ROOT}/configs/cpm/"))
    cfg = Config.fromfile(path)
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        assert dataset.type == 'AVSFolderDataset' and dataset.split == split
        assert dataset.data_root == 'data/my_videos'
        assert dataset.frames_per_second == 25
