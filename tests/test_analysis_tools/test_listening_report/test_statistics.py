import numpy as np
import pytest
import torch

from mmcpm.analysis_tools.listening_report import ranking, statistics
from mmcpm.evaluation import (
    AVSBenchJFMetric,
    AVSSLegacyMetric,
    DatasetIoUFMetric,
)

CLASSES = ('background', 'a', 'b', 'c')


def make_frames(rng, num_classes, clips='pqrst'):
    """Frames of clips of different lengths, some of them empty."""
    frames = []
    for number, clip in enumerate(clips):
        for i in range(number % 3 + 1):
            label = rng.integers(0, num_classes, (4, 5))
            label *= rng.random((4, 5)) < 0.6
            if (number + i) % 4 == 0:
                label[:] = 0
            scores = rng.standard_normal((num_classes, 4, 5), np.float32)
            frames.append(
                {
                    'sample_id': f'{clip}/{i}',
                    'subset': 'v1s' if number % 2 else 'v2',
                    'gt_sem_seg': {'data': torch.from_numpy(label)[None]},
                    'pred_sem_seg': {
                        'data': torch.from_numpy(scores.argmax(0))[None]
                    },
                    'seg_logits': {'data': torch.from_numpy(scores)},
                }
            )
    return frames


def counted(metric, frames, num_classes=4):
    metric.dataset_meta = {'classes': CLASSES[:num_classes]}
    metric.process({}, frames)
    return metric


METRICS = {
    'dataset': (lambda: DatasetIoUFMetric(), ('mIoU', 'Fbeta')),
    'legacy': (lambda: AVSSLegacyMetric(size=None), ('mIoU', 'Fbeta')),
    'padded': (
        lambda: AVSSLegacyMetric(size=None, include_padded=True),
        ('mIoU', 'Fbeta'),
    ),
    'avsbench': (
        lambda: AVSBenchJFMetric(size=None, frames_per_video=None),
        ('J', 'F'),
    ),
}


@pytest.mark.parametrize('kind', METRICS)
@pytest.mark.parametrize('draw', [None, [0, 2, 0, 2, 1], [5, 0, 0, 0, 0]])
def test_sums_over_clips_score_as_the_metrics(kind, draw, rng):
    """Also of drawn clips, which are scored as clips of other names."""
    build, names = METRICS[kind]
    num_classes = 2 if kind == 'avsbench' else 4
    frames = make_frames(rng, num_classes)
    sums = statistics.sum_clips(counted(build(), frames, num_classes))
    weights = np.ones((1, 5)) if draw is None else np.array([draw], float)
    drawn = [
        dict(f, sample_id=f['sample_id'].replace('/', f'{copy}/'))
        for clip, times in zip('pqrst', weights[0].astype(int), strict=True)
        for copy in range(times)
        for f in frames
        if f['sample_id'].startswith(clip)
    ]
    metric = counted(build(), drawn, num_classes)
    expected = metric.compute_metrics(
        sorted(metric.results, key=lambda frame: frame[0])
    )
    found = statistics.score(sums, weights)
    for name in names:
        assert found[name][0] == pytest.approx(expected[name], nan_ok=True)


@pytest.mark.parametrize('kind', ['dataset', 'legacy'])
def test_classes_that_are_not_drawn_do_not_lower_the_interval(kind):
    """Perfect masks of three clips, each of a class of its own.

    The fourth class is in none and counts as 0.
    """
    frames = []
    for number, clip in enumerate('pqr'):
        label = torch.full((1, 4, 5), number)
        frames.append(
            {
                'sample_id': f'{clip}/0',
                'gt_sem_seg': {'data': label},
                'pred_sem_seg': {'data': label},
            }
        )
    sums = statistics.sum_clips(counted(METRICS[kind][0](), frames))
    found = statistics.score(sums, np.array([[1, 1, 1], [3, 0, 0]], float))
    assert found['mIoU'] == pytest.approx([3 / 4, 3 / 4])


def test_rate_of_false_positives_by_hand():
    """Shares of 3/20 and 0 in one clip, of 20/20 in the other."""
    predictions = np.zeros((3, 4, 5), int)
    predictions[0, 0, :3] = [1, 2, 3]
    predictions[2] = 1
    frames = [
        {
            'sample_id': name,
            'gt_sem_seg': {'data': torch.zeros(1, 4, 5, dtype=int)},
            'pred_sem_seg': {'data': torch.from_numpy(prediction)[None]},
        }
        for name, prediction in zip(
            ('a/0', 'a/1', 'b/0'), predictions, strict=True
        )
    ]
    # What is labeled counts, too: the object is not heard.
    frames[0]['gt_sem_seg']['data'][0, 0, 0] = 1
    metric = counted(DatasetIoUFMetric(), frames)
    sums = statistics.sum_clips(metric)
    weights = np.array([[1, 1], [2, 0]], float)
    assert statistics.false_positive_rate(sums, weights) == pytest.approx(
        [(0.15 + 0 + 1) / 3, 0.075]
    )
    # One pixel of four is right in the first frame; nothing in the others.
    agreement = ranking.agreement(metric)
    assert agreement == {'a/0': pytest.approx(1 / 3), 'a/1': 1, 'b/0': 0}
    assert ranking.labeled_share(metric) == {
        'a/0': 1 / 20,
        'a/1': 0,
        'b/0': 0,
    }


def jf_sums(j, f):
    return statistics.ClipSums(
        'avsbench',
        ['a'],
        {
            key: np.array([value], float)
            for key, value in dict(j=j, frames=1, f=f, clips=1).items()
        },
    )


def test_global_scores_by_hand():
    """Harmonic mean of 0.8 and 1 - (0.2 + 0.7) / 2, and of 0.9 and 1."""
    found = statistics.robustness(
        jf_sums(0.8, 0.9),
        [jf_sums(0.2, 0), jf_sums(0.7, 0)],
        np.ones((1, 1)),
    )
    assert found['G-mIoU'] == pytest.approx(2 * 0.8 * 0.55 / 1.35)
    assert found['G-F'] == pytest.approx(2 * 0.9 / 1.9)


def test_who_segments_the_same_whatever_is_heard_has_a_low_global_score():
    """As published models: 0.83 and 0.83 give 0.28."""
    same = jf_sums(0.83, 0.9)
    found = statistics.robustness(same, [same], np.ones((1, 1)))
    assert found['G-mIoU'] == pytest.approx(2 * 0.83 * 0.17)
    perfect = statistics.robustness(
        jf_sums(1, 1), [jf_sums(1, 1)], np.ones((1, 1))
    )
    assert perfect['G-mIoU'] == 0


def test_global_scores_of_classes_are_without_background(rng):
    """Two of three classes are labeled; background is left out."""
    label = np.zeros((4, 5), int)
    label[0], label[1] = 1, 2
    prediction = np.where(label == 2, 0, label)

    def sums(prediction):
        frame = {
            'sample_id': 'a/0',
            'gt_sem_seg': {'data': torch.from_numpy(label)[None]},
            'pred_sem_seg': {'data': torch.from_numpy(prediction)[None]},
        }
        return statistics.sum_clips(counted(DatasetIoUFMetric(), [frame]))

    one = np.ones((1, 1))
    found = statistics.foreground_scores(sums(prediction), one)
    assert found['mIoU'] == 0.5 and found['F'] == 0.5
    found = statistics.robustness(
        sums(prediction), [sums(np.zeros((4, 5), int))], one
    )
    assert found['G-mIoU'] == pytest.approx(2 * 0.5 / 1.5)


def test_draws_and_intervals():
    weights = statistics.draw_weights(7, 500, seed=3)
    assert weights.shape == (501, 7)
    assert (weights[0] == 1).all()
    assert (weights.sum(1) == 7).all()
    np.testing.assert_array_equal(
        weights, statistics.draw_weights(7, 500, seed=3)
    )
    values = np.array([5.0, *range(1000)])
    assert statistics.interval(values) == {
        'value': 5.0,
        'low': pytest.approx(0.025 * 999),
        'high': pytest.approx(0.975 * 999),
    }
    undefined = statistics.interval(np.full(3, np.nan))
    assert undefined == {'value': None, 'low': None, 'high': None}


def test_intervals_hold_the_truth_as_often_as_they_say(rng):
    """Means of 60 clips from a known distribution."""
    held = 0
    for trial in range(200):
        values = rng.exponential(1.0, 60)
        weights = statistics.draw_weights(60, 300, seed=trial)
        found = statistics.interval(weights @ values / 60)
        held += found['low'] <= 1 <= found['high']
    assert 0.87 < held / 200 < 0.99
