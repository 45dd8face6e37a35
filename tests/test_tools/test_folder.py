"""tools/dataset_converters/folder.py, and the recipe for own data."""

import runpy
import sys
from pathlib import Path

import pytest

import mmcpm

TOOL = Path(mmcpm.__file__).parents[1] / 'tools/dataset_converters/folder.py'


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
