import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import METRICS
from mmseg.structures import SegDataSample

from mmcpm.evaluation.metrics import coverage
from mmcpm.evaluation.metrics.coverage import set_coverage


@pytest.mark.parametrize(
    'predicted,labeled,expected',
    [
        (set(), set(), 1.0),
        ({1}, set(), 0.0),
        (set(), {1}, 0.0),
        ({1, 2}, {1, 2}, 1.0),
        ({1, 2, 3}, {2, 3, 4}, 0.5),
    ],
)
def test_by_hand(predicted, labeled, expected):
    assert set_coverage(predicted, labeled) == expected


def frame(name, audio_classes, labels, named=(0,)):
    sample = SegDataSample(metainfo=dict(sample_id=name))
    sample.set_data(
        dict(
            audio_query_classes=torch.tensor(audio_classes),
            query_classes=torch.tensor(named),
        )
    )
    sample.gt_sem_seg = PixelData(data=torch.tensor(labels)[None, None])
    return sample.to_dict()


@pytest.fixture
def metric():
    metric = METRICS.build(dict(type='CoverageMetric'))
    metric.dataset_meta = dict(classes=('background', 'a', 'b', 'c'))
    return metric


def test_names_of_the_scores_are_known_before(metric):
    metric.process({}, [frame('a/0', [1], [0, 1])])
    assert set(metric.score_names()) == set(metric.evaluate(1))


def test_background_none_and_ignored_do_not_count(metric):
    # Class 4 is "no object".
    metric.process(
        {},
        [
            frame('x/0', [0, 4, 1], [0, 1, 255], named=[4, 4, 4]),
            frame('x/1', [0, 4, 4], [0, 255, 0], named=[2, 0, 4]),
            frame('x/2', [2, 1, 4], [0, 1, 3], named=[1, 3, 3]),
        ],
    )
    scores = metric.evaluate(3)
    assert scores == {
        'coverage/td_a': pytest.approx((1 + 1 + 1 / 3) / 3),
        'coverage/final': pytest.approx((0 + 0 + 1) / 3),
    }


def test_ranks_are_joined_and_repetitions_dropped(metric, monkeypatch):
    metric.process({}, [frame('x/0', [1], [1]), frame('x/1', [1], [2])])
    other = [('x/1', [0.0, 0.0]), ('x/2', [1.0, 0.5])]
    monkeypatch.setattr(
        coverage, 'all_gather_object', lambda mine: [mine, other]
    )
    scores = metric.evaluate(3)
    assert scores['coverage/td_a'] == pytest.approx(2 / 3)
    assert scores['coverage/final'] == pytest.approx(0.5 / 3)
    assert metric.results == []


def test_models_without_it_are_explained(metric, monkeypatch):
    """And the training that evaluates them goes on."""
    sample = frame('x/0', [1], [1])
    del sample['query_classes']
    lines = []
    monkeypatch.setattr(
        coverage, 'print_log', lambda text, **_: lines.append(text)
    )
    for _ in range(2):
        metric.process({}, [sample])
    assert metric.evaluate(2) == {} and len(lines) == 1
    assert 'have no query_classes: there is no coverage' in lines[0]
