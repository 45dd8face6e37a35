import runpy
import stat
import sys
from pathlib import Path

import pytest

import mmcpm
from mmcpm.dataset_converters.sounding_scenes.writer import (
    write_sounding_scenes,
)

TOOL = Path(mmcpm.__file__).parents[1] / 'tools/dataset_converters/avsbench.py'


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """Sounding scenes in every layout of AVSBench."""
    roots = {}
    for layout in ('avss', 's4', 'ms3'):
        roots[layout] = tmp_path_factory.mktemp('scenes') / layout
        write_sounding_scenes(
            roots[layout], layout=layout, size=32, clips=(2, 1, 1), workers=0
        )
    return roots


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


@pytest.mark.parametrize('layout', ['avss', 's4', 'ms3'])
def test_clean_scenes(layout, scenes, run):
    code, out, _ = run(
        scenes[layout], '--dataset', layout, '--check', '--deep'
    )
    assert code == 0
    assert '0 fault(s), 0 note(s)' in out


def test_a_fault_gives_exit_code_1_and_a_report(scenes, run, tmp_path):
    root = scenes['ms3']
    sound = next(root.glob('ms3_data/audio_wav/train/*.wav'))
    data = sound.read_bytes()
    sound.write_bytes(data[:1000])
    try:
        code, out, _ = run(
            *(root, '--dataset', 'ms3', '--check'),
            *('--report', tmp_path / 'found.csv'),
        )
    finally:
        sound.write_bytes(data)
    assert code == 1
    assert 'FAULT: Unreadable sounds (1)' in out
    assert sound.name in out
    report = (tmp_path / 'found.csv').read_text().splitlines()
    assert len(report) == 2
    assert report[1].startswith('fault,sound,ms3_data/audio_wav/train/')


def test_the_wrong_dataset_gives_exit_code_2(scenes, run):
    code, _, err = run(scenes['s4'], '--dataset', 'avss', '--check')
    assert code == 2
    assert 'This looks like AVSBench-Object' in err
    assert 'Traceback' not in err


def test_a_read_only_root_is_enough(scenes, run):
    root = scenes['avss']
    paths = [root, *root.rglob('*')]
    modes = [path.stat().st_mode for path in paths]
    writable = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
    try:
        for path, mode in zip(paths, modes, strict=True):
            path.chmod(mode & ~writable)
        code, out, _ = run(root, '--dataset', 'avss', '--check', '--deep')
    finally:
        for path, mode in zip(paths, modes, strict=True):
            path.chmod(mode)
    assert code == 0
    assert '0 fault(s), 0 note(s)' in out


def test_prepared_scenes_are_clean(scenes, run, tmp_path):
    place = ('--dataset', 'avss')
    code, out, _ = run(
        scenes['avss'], *place, '--prepare', tmp_path, '--resize', 16, 16
    )
    assert code == 0
    assert '4 of 4 clips ready' in out
    code, out, _ = run(tmp_path, *place, '--check', '--deep')
    assert code == 0
    assert '0 fault(s), 0 note(s)' in out


@pytest.mark.parametrize(
    ('arguments', 'told'),
    [
        (('--check', '--resize', '8', '8'), 'belong to --prepare'),
        (('--check', '--decode-rgb-labels'), 'belong to --prepare'),
        (('--prepare', 'x', '--resize', '0', '8'), 'both positive'),
    ],
)
def test_senseless_arguments(arguments, told, scenes, run):
    code, _, err = run(scenes['avss'], '--dataset', 'avss', *arguments)
    assert code == 2
    assert told in err
