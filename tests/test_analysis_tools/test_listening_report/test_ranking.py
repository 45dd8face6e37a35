import pytest

from mmcpm.analysis_tools.listening_report import ranking


def test_order_of_clips():
    true = {'a/0': 0.9, 'a/1': 0.5, 'b/0': 0.8, 'c/0': 1.0}
    others = [
        {'a/0': 0.1, 'a/1': 0.1, 'b/0': 0.8, 'c/0': 1.0},
        {'a/0': 0.3, 'a/1': 0.5, 'b/0': 0.6, 'c/0': 1.0},
    ]
    labeled = {'a/0': 0.1, 'a/1': 0.2, 'b/0': 0.1, 'c/0': 0.0}
    first, second = ranking.rank_clips(true, others, labeled)
    # (0.9 - 0.2 + 0.5 - 0.3) / 2, and 0.8 - 0.7. Nothing is labeled in c.
    assert first == ('a', pytest.approx(0.45), 'a/1')
    assert second == ('b', pytest.approx(0.1), 'b/0')
