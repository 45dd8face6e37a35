import runpy
import sys
from pathlib import Path

import pytest

import mmcpm

TOOL = (
    Path(mmcpm.__file__).parents[1]
    / 'tools/dataset_converters/make_sounding_scenes.py'
)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the tool with arguments, from a folder of its own."""

    def run_tool(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, 'argv', [str(TOOL), *arguments])
        runpy.run_path(str(TOOL), run_name='__main__')

    return run_tool


def test_tool_writes_scenes_and_tells_the_ceiling(run, tmp_path, capsys):
    arguments = (
        'scenes',
        '--clips',
        '5',
        '1',
        '5',
        '--size',
        '32',
        '--seed',
        '2',
        '--workers',
        '0',
    )
    run(*arguments)
    told = capsys.readouterr().out
    assert 'Wrote sounding scenes (preset demo, seed 2)' in told
    assert 'train     5 clips,     36 labeled frames' in told
    assert 'vision_only_ceiling: mIoU 0.' in told
    assert (tmp_path / 'scenes' / 'metadata.csv').is_file()
    run(*arguments)
    assert 'Found sounding scenes' in capsys.readouterr().out


def test_tool_tells_what_can_be_had_without_direction(run, capsys):
    sizes = ('--clips', '2', '1', '6', '--size', '32', '--workers', '0')
    run('stereo', '--layout', 'vpo_msmi', *sizes)
    told = capsys.readouterr().out
    assert 'no_direction_ceiling: mIoU 0.' in told
    assert 'vision_only_ceiling' not in told


def test_tool_refuses_a_foreign_folder_in_one_message(run, tmp_path, capsys):
    (tmp_path / 'thesis.tex').touch()
    with pytest.raises(SystemExit) as ended:
        run('.')
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert 'left alone' in told
    assert 'Traceback' not in told
