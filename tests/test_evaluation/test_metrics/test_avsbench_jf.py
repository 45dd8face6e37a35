import numpy as np
import pytest
import torch

METRIC = dict(type='AVSBenchJFMetric')
THRESHOLDS = torch.linspace(0, 1 - 1e-10, 255).numpy()


def published_example():
    """Logits and labels of 4 frames of 4x4 pixels; the third is empty."""
    n, h, w = np.meshgrid(
        np.arange(4), np.arange(4), np.arange(4), indexing='ij'
    )
    logits = 3 * np.sin(1.7 * n + 0.9 * h - 0.6 * w + 0.35)
    labels = ((n != 2) & ((n + 2 * h + 3 * w) % 5 < 2)).astype(int)
    return logits, labels


def segmented(frame, logit, label, sample_id):
    """A frame as a model of two scores (0, logit) segments it."""
    scores = np.stack([np.zeros_like(logit), logit]).astype(np.float32)
    return frame(scores.argmax(0), label, sample_id, scores)


def example(frame, names):
    return [
        segmented(frame, *pair, name)
        for *pair, name in zip(*published_example(), names, strict=True)
    ]


# --- Published numbers ---


def test_published_j(frame, score):
    samples = example(frame, ['a/0', 'a/1', 'a/2', 'a/3'])
    for sample, expected in zip(
        samples, [0.3571429, 0.3846154, 0.75, 0.3], strict=True
    ):
        assert score(METRIC, [sample], 2)['avsbench/J'] == pytest.approx(
            expected, abs=1e-7
        )
    assert score(METRIC, samples, 2)['avsbench/J'] == pytest.approx(
        0.4479396, abs=1e-7
    )


@pytest.mark.parametrize('batch_size', [1, 2, 3, 4])
@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        # One video of four frames, two of two, four of one (the empty one
        # counts as 0).
        (['a/0', 'a/1', 'a/2', 'a/3'], 0.4919066),
        (['a/0', 'a/1', 'b/0', 'b/1'], 0.4876728),
        (
            ['a/0', 'b/0', 'c/0', 'd/0'],
            (0.5321637 + 0.5321637 + 0 + 0.4431818) / 4,
        ),
    ],
)
def test_published_f_by_video(frame, score, names, expected, batch_size):
    metrics = score(METRIC, example(frame, names), 2, batch_size)
    assert metrics['avsbench/F'] == pytest.approx(expected, abs=1e-7)
    assert metrics['avsbench/JF'] == pytest.approx(
        (0.4479396 + expected) / 2, abs=1e-7
    )
    assert set(metrics) == {'avsbench/J', 'avsbench/F', 'avsbench/JF'}


def test_silent_videos_count_as_zero(frame, score):
    samples = example(frame, ['a/0', 'b/0', 'c/0', 'd/0'])
    assert score(METRIC, samples, 2)['avsbench/F'] == pytest.approx(
        (0.5321637 + 0.5321637 + 0 + 0.4431818) / 4, abs=1e-7
    )
    alone = score(METRIC, samples[2:3], 2)
    assert alone['avsbench/F'] == 0
    assert alone['avsbench/J'] == pytest.approx(0.75)


# --- Against the definition, threshold by threshold ---


def slow_scores(videos):
    """Score [[(scores, prediction, label), ...], ...] by loops."""
    js, fs = [], []
    for frames in videos:
        curves = []
        for scores, prediction, label in frames:
            exp = np.exp(scores - scores.max(0))
            # float32 as published: it decides what rounds to 1, the last
            # threshold.
            probability = (exp / exp.sum(0))[1]
            assert probability.dtype == np.float32
            b, g = prediction, label
            if g.sum() == 0:
                js.append((1 - b).sum() / (g.size + 1e-7))
                continue
            js.append((b * g).sum() / (np.maximum(b, g).sum() + 1e-7))
            curve = []
            for threshold in THRESHOLDS:
                at = probability >= threshold
                precision = (at * g).sum() / (at.sum() + 1e-20)
                recall = (at * g).sum() / (g.sum() + 1e-20)
                if precision + recall == 0:
                    curve.append(0)
                else:
                    curve.append(
                        1.3 * precision * recall / (0.3 * precision + recall)
                    )
            curves.append(curve)
        fs.append(max(np.mean(curves, axis=0)) if curves else 0)
    return {'avsbench/J': np.mean(js), 'avsbench/F': np.mean(fs)}


def random_videos(rng):
    """Videos of frames of different sizes, some empty, some saturated."""
    videos = []
    for _ in range(rng.integers(1, 4)):
        frames = []
        for _ in range(rng.integers(1, 6)):
            size = rng.integers(1, 12, 2)
            spread = rng.choice([0.3, 3, 60])
            scores = rng.normal(0, spread, (2, *size)).astype(np.float32)
            label = (rng.random(size) < rng.choice([0, 0.3, 1])).astype(int)
            frames.append((scores, scores.argmax(0), label))
        videos.append(frames)
    return videos


@pytest.mark.parametrize('seed', range(200))
def test_equals_the_definition(frame, score, seed):
    rng = np.random.default_rng(seed)
    videos = random_videos(rng)
    samples = [
        frame(prediction, label, f'{v}/{i}', scores)
        for v, frames in enumerate(videos)
        for i, (scores, prediction, label) in enumerate(frames)
    ]
    rng.shuffle(samples)
    found = score(METRIC, samples, 2, batch_size=int(rng.integers(1, 9)))
    for key, value in slow_scores(videos).items():
        assert found[key] == pytest.approx(value, abs=1e-6)


def test_thresholds_are_compared_in_float32():
    """Probabilities that equal a threshold reach it; 1 reaches the last."""
    from mmcpm.evaluation.metrics.avsbench_jf import threshold_counts

    probability = torch.from_numpy(THRESHOLDS.copy())
    labeled = torch.arange(255) % 2 == 0
    at_least, hits = threshold_counts(probability, labeled)
    assert THRESHOLDS[-1] == 1
    assert at_least.tolist() == list(range(255, 0, -1))
    assert hits.tolist() == [sum(labeled[i:].tolist()) for i in range(255)]


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_low_precision_scores(frame, score, rng, dtype):
    """They are compared with the thresholds as float32 probabilities."""
    scores = torch.from_numpy(rng.normal(size=(2, 40, 40))).to(dtype)
    noise = torch.from_numpy(rng.normal(size=(40, 40)))
    label = (scores[1] - scores[0] > 0.3 + noise).long()
    found = [
        score(METRIC, [frame(scores.argmax(0), label, 'a/0', values)], 2)
        for values in (scores, scores.float())
    ]
    assert found[0] == found[1]


# --- What is refused ---


def test_results_are_small(frame):
    from mmcpm.evaluation import AVSBenchJFMetric

    metric = AVSBenchJFMetric(size=None)
    label = np.ones((300, 300), int)
    sample = segmented(frame, np.ones((300, 300)), label, 'a/0').to_dict()
    metric.process({}, [sample])
    (counts,) = metric.results
    sizes = [np.asarray(value).size for value in counts]
    assert max(sizes) == 255


def test_other_number_of_classes_is_refused(frame, score):
    sample = frame([[0]], [[0]], 'a/0', np.zeros((3, 1, 1), np.float32))
    with pytest.raises(ValueError, match=r'a/0.*\(3, 1, 1\).*\(2, 1, 1\)'):
        score(METRIC, [sample], 2)


def test_255_is_not_silently_ignored(frame, score):
    """Files of S4 and MS3 say 255 for the foreground."""
    label = np.array([[0, 255]])
    with pytest.raises(ValueError, match='a/0: the label holds.* 255'):
        score(METRIC, [segmented(frame, label * 1.0, label, 'a/0')], 2)


def test_diverged_scores_are_refused(frame, score):
    logit = np.array([[np.nan, 1.0]])
    sample = segmented(frame, logit, np.array([[0, 1]]), 'a/0')
    with pytest.raises(ValueError, match='a/0.*not finite'):
        score(METRIC, [sample], 2)


def test_frames_must_name_their_video(frame, score):
    sample = segmented(frame, np.ones((1, 1)), np.ones((1, 1), int), 'a')
    with pytest.raises(ValueError, match="'a'.*<clip>/<frame>"):
        score(METRIC, [sample], 2)


def test_log_states_protocol_and_policy(frame, score, printed):
    score(METRIC, example(frame, ['a/0', 'b/0', 'c/0', 'd/0']), 2)
    (text,) = printed
    assert (
        "Protocol 'avsbench_original_anyframes' at the original size: 4 "
        'frames of 4 videos' in text
    )
    assert '1 without any labeled object count as 0' in text
    assert '44.79' in text
