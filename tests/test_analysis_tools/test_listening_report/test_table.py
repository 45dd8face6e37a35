import json

import pytest

from mmcpm.analysis_tools.listening_report.table import (
    comparison_table,
    written,
)
from mmcpm.utils.errors import UsageError


def each(value):
    return {'value': value, 'low': value - 0.1, 'high': value + 0.1}


def save(path, scores, score='avsbench/J'):
    prefix = score.partition('/')[0]
    content = {
        'config': f'configs/{path.name}.py',
        'sounds': {name: {'title': f'<{name}>'} for name in scores},
        'scores': {score: {name: each(v) for name, v in scores.items()}},
        'robustness': {
            prefix: {'G-mIoU': each(0.5), 'G-F': each(0.25)},
            'G-FPR': each(0.125),
        },
    }
    path.write_text(json.dumps(content))
    return path


def test_reports_side_by_side(tmp_path):
    table = comparison_table(
        [
            save(tmp_path / 'one', {'true': 0.8, 'silence': 0.2}),
            save(tmp_path / 'two', {'true': 0.7, 'exchanged': 0.6}),
        ]
    )
    assert table.splitlines() == [
        '| sound | `one`: avsbench/J | `two`: avsbench/J |',
        '| --- | --- | --- |',
        '| <true> | 80.0 (70.0 to 90.0) | 70.0 (60.0 to 80.0) |',
        '| <silence> | 20.0 (10.0 to 30.0) | - |',
        '| <exchanged> | - | 60.0 (50.0 to 70.0) |',
        '| G-mIoU | 50.0 (40.0 to 60.0) | 50.0 (40.0 to 60.0) |',
        '| G-F | 25.0 (15.0 to 35.0) | 25.0 (15.0 to 35.0) |',
        '| G-FPR | 12.5 (2.5 to 22.5) | 12.5 (2.5 to 22.5) |',
    ]


def test_different_protocols_are_not_set_side_by_side(tmp_path):
    files = [
        save(tmp_path / 'a', {'true': 0.8}),
        save(tmp_path / 'b', {'true': 0.8}, 'dataset/mIoU'),
    ]
    with pytest.raises(UsageError, match='avsbench/J, dataset/mIoU'):
        comparison_table(files)


@pytest.mark.parametrize('content', [None, 'text', '[]', '{"scores": {}}'])
def test_other_files_are_refused(tmp_path, content):
    file = tmp_path / 'a.json'
    if content is not None:
        file.write_text(content)
    with pytest.raises(UsageError, match='a.json is no listening_report'):
        comparison_table([file])


def test_what_is_not_defined_is_a_dash():
    none = {'value': None, 'low': None, 'high': None}
    assert written(none) == '-'
    assert written({**none, 'value': 0.5}, sign=True) == '+50.0 (- to -)'
