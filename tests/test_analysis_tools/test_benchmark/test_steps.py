from mmcpm.analysis_tools.benchmark.steps import interleave, time_statistics


def test_turns_alternate_and_warm_up_is_not_timed():
    calls = []
    seconds = interleave(
        [lambda: calls.append('a'), lambda: calls.append('b')], 2, 1
    )
    assert calls == ['b', 'a', 'a', 'b', 'b', 'a']
    assert [len(times) for times in seconds] == [2, 2]


def test_summary():
    assert time_statistics([3.0, 1.0, 2.0], 'peer_') == {
        'peer_median_s': 2.0,
        'peer_quartiles_s': [1.5, 2.5],
        'peer_min_s': 1.0,
    }
    assert time_statistics([4.0])['quartiles_s'] == [4.0, 4.0]
