import runpy
import sys
from pathlib import Path

import pytest

import mmcpm
from mmcpm.dataset_converters.sounding_scenes.writer import (
    write_sounding_scenes,
)

TOOL = Path(mmcpm.__file__).parents[1] / 'tools/dataset_converters/vpo.py'


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


def test_check_and_prepare(run, tmp_path):
    root, dest, place = tmp_path / 'a', tmp_path / 'b', ('--subset', 'msmi')
    write_sounding_scenes(
        root, layout='vpo_msmi', size=32, clips=(3, 1, 2), workers=0
    )
    code, out, _ = run(root, *place, '--check', '--deep')
    assert code == 0
    assert '0 fault(s), 0 note(s)' in out
    code, out, _ = run(root, *place, '--prepare', dest)
    assert code == 0
    assert '6 of 6 clips ready' in out
    next(root.glob('VPO-MSMI/data/*.jpg')).write_bytes(b'')
    code, out, _ = run(root, *place, '--check')
    assert code == 1
    assert 'FAULT: Unreadable frames (1)' in out
    code, _, err = run(root, '--subset', 'ss', '--check')
    assert code == 2
    assert 'vpo_ss_data_stereo.csv' in err
    assert 'Traceback' not in err
