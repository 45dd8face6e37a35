import pytest
from matplotlib.figure import Figure

from mmcpm.analysis_tools.study.plots import (
    draw_coverage,
    draw_scores,
    draw_stability,
    draw_study,
    draw_sweep,
    lambda_of,
)
from mmcpm.analysis_tools.study.table import by_variant


def run(name, mean, seed=0, **other):
    return {
        'config': f'configs/{name}.py',
        'seed': seed,
        'mIoU': mean,
        'mIoU_silence': 0.1,
        'mIoU_swapped': 0.2,
        'mIoU_ceiling': 0.4,
        'coverage': 0.5,
        'coverage_final': 0.75,
        'sts': [2.0, 1.0],
        **other,
    }


@pytest.fixture
def axes():
    return Figure().subplots()


def curve(axes, label):
    (line,) = (line for line in axes.lines if line.get_label() == label)
    return line.get_xdata(), line.get_ydata()


@pytest.mark.parametrize(
    'name,value',
    [
        ('hard_lambda07', 0.7),
        ('hard_lambda10', 1.0),
        ('hard_full', 0.5),
        ('hard_full epochs=2', None),
        ('hard_base', None),
    ],
)
def test_lambda_is_read_from_the_name(name, value):
    assert lambda_of(name) == value


def test_scores_show_every_seed_and_the_ceiling(axes):
    records = [run('a', 0.5), run('b', 0.6), run('a', 0.7, seed=1)]
    draw_scores(axes, by_variant(records))
    x, y = curve(axes, 'true sound')
    assert list(x) == pytest.approx([50, 70]) and list(y) == [0, 0]
    x, _ = curve(axes, 'best possible without the sound')
    assert list(x) == [40, 40]
    means = [
        (line.get_xdata()[0], line.get_ydata()[0])
        for line in axes.lines
        if line.get_marker() == '|' and line.get_color() == 'tab:blue'
    ]
    assert means == [(pytest.approx(60), 0), (pytest.approx(60), 1)]
    assert [label.get_text() for label in axes.get_yticklabels()] == ['a', 'b']


def test_stability_is_the_mean_over_seeds_of_the_epochs_all_have(axes):
    records = [run('a', 0.5), run('a', 0.5, seed=1, sts=[1.0, 0.5, 0.1])]
    draw_stability(axes, by_variant(records))
    x, y = curve(axes, 'a')
    assert list(x) == [1, 2] and list(y) == pytest.approx([1.5, 0.75])


def test_coverage_before_and_after(axes):
    records = [run('a', 0.5), run('a', 0.5, seed=1, coverage=0.7)]
    draw_coverage(axes, by_variant(records))
    assert curve(axes, 'after the audio decoder')[0] == pytest.approx([60])
    assert curve(axes, 'at the end')[0] == pytest.approx([75])


def test_sweep_joins_the_means_in_order(axes):
    records = [
        run('x_lambda10', 0.4),
        run('x_full', 0.6),
        run('x_lambda01', 0.5),
        run('x_full', 0.8, seed=1),
        run('x_base', 0.3),
    ]
    draw_sweep(axes, by_variant(records))
    x, y = curve(axes, 'CPM')
    assert list(x) == [0.1, 0.5, 1.0]
    assert list(y) == pytest.approx([50, 70, 40])
    assert list(curve(axes, 'x_base')[1]) == pytest.approx([30, 30])


def test_only_what_there_is_to_see_is_drawn(tmp_path):
    old = [run('a_full', 0.5, coverage_final=None, mIoU_ceiling=None)]
    files = draw_study(old, tmp_path / 'old')
    assert [file.name for file in files] == ['scores.png', 'stability.png']
    records = [run('a_full', 0.5), run('a_lambda01', 0.4), run('a_base', 0.2)]
    files = draw_study(records, tmp_path / 'new')
    assert [file.stem for file in files] == [
        'scores',
        'stability',
        'coverage',
        'lambda',
    ]
    for file in files:
        assert file.read_bytes().startswith(b'\x89PNG')
