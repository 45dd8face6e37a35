import json
import sys
from pathlib import Path

import cv2
import pytest

from mmcpm.analysis_tools.analyze_logs.report import key_table, speed_table
from mmcpm.analysis_tools.analyze_logs.runs import name_runs, read_run

ROOT = Path(__file__).resolve().parents[2]


def step(iteration, loss, time=0.5, **more):
    line = {'loss': loss, 'time': time, 'data_time': time / 10, **more}
    return {**line, 'epoch': 1, 'iter': iteration, 'step': iteration}


def write_log(work_dir, start, lines, end='\n'):
    """Write what one start of a training logged."""
    file = work_dir / start / 'vis_data' / 'scalars.json'
    file.parent.mkdir(parents=True)
    file.write_text('\n'.join(map(json.dumps, lines)) + end)
    return file


@pytest.fixture
def work_dir(tmp_path):
    """A training that was interrupted after 30 and resumed after 20."""
    folder = tmp_path / 'cpm'
    lines = [step(10, 8.0), step(20, 6.0, 0.7), step(30, 99.0, 9.0)]
    write_log(folder, '20260101_000000', lines)
    lines = [
        step(30, 4.0, 0.6, memory=2000),
        step(40, float('nan'), 0.6, memory=2500),
        {'dataset/mIoU': 0.5, 'time': 3.0, 'data_time': 0.1, 'step': 1},
    ]
    write_log(folder, '20260102_000000', lines)
    return folder


@pytest.fixture
def analyze(monkeypatch):
    """The tool's main function."""
    monkeypatch.syspath_prepend(ROOT / 'tools/analysis_tools')
    monkeypatch.delitem(sys.modules, 'analyze_logs', raising=False)
    import analyze_logs as tool

    return lambda *arguments: tool.main([*map(str, arguments)])


def cells(table):
    return [
        dict(zip(table.field_names, row, strict=True)) for row in table.rows
    ]


def test_resumed_run_counts_once(work_dir):
    run = read_run(work_dir, 'cpm')
    assert run.curves['loss'] == [(10, 8.0), (20, 6.0), (30, 4.0)]
    assert run.not_finite == {'loss': 1}
    assert run.curves['dataset/mIoU'] == [(1, 0.5)]
    assert run.units['dataset/mIoU'] == 'epoch'
    assert run.units['loss'] == 'iteration'
    # The validation's time is not that of a training iteration.
    assert run.values('time') == [0.5, 0.7, 0.6, 0.6]
    assert run.values('val/time') == [3.0]


def test_time_and_memory(work_dir):
    (row,) = cells(speed_table([read_run(work_dir, 'cpm')]))
    assert row['iterations'] == '40'
    assert row['s/iteration: mean'] == '0.600'  # 2.4 / 4
    assert row['median'] == '0.600'
    assert row['longest'] == '0.700'
    assert row['waiting for data'] == '10.0 %'
    assert row['GPU memory, MiB'] == '2500'


def test_values_of_keys(work_dir):
    loss, score = cells(
        key_table([read_run(work_dir, 'cpm')], ['loss', 'dataset/mIoU'])
    )
    assert loss['first'] == loss['greatest'] == '8 (10)'
    assert loss['last'] == loss['least'] == '4 (30)'
    assert loss['values'] == 3
    assert loss['note'] == '(iteration), 1 not finite'
    assert score['last'] == '0.5 (1)' and score['note'] == '(epoch)'


def test_training_by_iterations_counts_validations_so(tmp_path):
    lines = [
        {'loss': 2.0, 'iter': 5, 'step': 5},
        {'dataset/mIoU': 0.25, 'step': 10},
    ]
    write_log(tmp_path, 'a', lines)
    run = read_run(tmp_path, 'run')
    assert run.units['dataset/mIoU'] == 'iteration'
    assert run.curves['dataset/mIoU'] == [(10, 0.25)]


def test_line_that_is_being_written_is_left_out(tmp_path):
    file = write_log(tmp_path, 'a', [step(1, 1.0)], end='\n{"loss": 2.0, "it')
    assert read_run(file, 'run').values('loss') == [1.0]


def test_names_are_as_short_as_they_differ():
    assert name_runs(['/a/x', '/a/y']) == ['x', 'y']
    assert name_runs(['/a/x', '/b/x']) == ['a/x', 'b/x']


def test_picture_of_two_runs(analyze, work_dir, tmp_path, capsys):
    other = write_log(tmp_path / 'other', 'a', [step(10, 7.0), step(20, 5.0)])
    picture = tmp_path / 'out' / 'curves.png'
    analyze(
        *(work_dir, other, '--keys', 'loss', 'dataset/mIoU'),
        *('--names', 'CPM', 'baseline', '--out', picture, '--log'),
    )
    printed = capsys.readouterr().out
    assert 'CPM' in printed and 'baseline' in printed
    assert 'not logged' in printed
    pixels = cv2.imread(str(picture))
    assert pixels.shape[1] > 1000 and pixels.std() > 10
    # Both runs are drawn, each in its color (C0 and C1, BGR).
    for color in ((180, 119, 31), (14, 127, 255)):
        assert (abs(pixels.astype(int) - color).max(axis=2) < 8).sum() > 100


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (
            ['cpm', '--keys', 'los'],
            'did you mean loss?). There are: data_time',
        ),
        (['cpm/absent'], 'does not exist'),
        (['empty'], 'holds no vis_data/scalars.json'),
        (['broken.json'], 'line 1: expected a JSON object per line'),
        (['blank.json'], 'nothing is logged yet'),
        (['cpm', '--names', 'a', 'b'], 'a name for each of 1 runs'),
        (['cpm', '--out', 'cpm/curves.txt'], 'must end in .png'),
        (['cpm', '--out', 'broken.json/curves.png'], 'cannot write to'),
    ],
)
def test_bad_input_ends_with_a_message(
    analyze, work_dir, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    Path('empty').mkdir()
    Path('broken.json').write_text('loss: 3\n')
    Path('blank.json').write_text('')
    with pytest.raises(SystemExit) as ended:
        analyze(*arguments)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.count('analyze_logs.py: error: ') == 1
    assert message in error and 'Traceback' not in error
    assert not list(tmp_path.rglob('*.png'))
