import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mmcpm.evaluation import (
    frame_confusion,
    per_class_scores,
    scores_from_confusion,
)

NAN = float('nan')


# --- Published example: 4 frames of 4x4 pixels, 5 classes ---


def published_example():
    n, k, h, w = np.meshgrid(
        np.arange(4), np.arange(5), np.arange(4), np.arange(4), indexing='ij'
    )
    logits = 2 * np.sin(0.8 * n + 1.3 * k + 0.7 * h - 0.5 * w) - 5 * (k == 4)
    n, h, w = n[:, 0], h[:, 0], w[:, 0]
    labels = np.where(n == 2, 0, (n + h * w + h) % 3)
    return logits.argmax(1), labels


def total_confusion(predictions, labels, num_classes):
    return sum(
        frame_confusion(p, t, num_classes)
        for p, t in zip(predictions, labels, strict=True)
    )


def test_published_confusion():
    expected = [
        [19, 9, 3, 8, 0],
        [5, 6, 2, 3, 0],
        [5, 3, 0, 1, 0],
        [0] * 5,
        [0] * 5,
    ]
    assert total_confusion(*published_example(), 5).tolist() == expected


def test_published_scores():
    confusion = total_confusion(*published_example(), 5)
    per_class = per_class_scores(confusion)
    np.testing.assert_allclose(
        per_class['IoU'], [0.3877551, 0.2142857, 0, 0, NAN], atol=2e-7
    )
    np.testing.assert_allclose(
        per_class['Fbeta'], [0.6068796, 0.3421053, 0, 0, NAN], atol=2e-7
    )
    expected = {
        'mIoU': 0.1204083,
        'mIoU_present': 0.1505102,
        'Fbeta': 0.2372462,
        'F1': 0.2279412,
        'FDR': 0.7528736,
        'aAcc': 0.390625,
    }
    assert scores_from_confusion(confusion) == pytest.approx(
        expected, abs=2e-7
    )


def test_published_scores_with_ignored_row():
    predictions, labels = published_example()
    labels[0, 0] = 255
    scores = scores_from_confusion(total_confusion(predictions, labels, 5))
    expected = {
        'mIoU': 0.1288889,
        'Fbeta': 0.2457787,
        'F1': 0.2393466,
        'FDR': 0.7479716,
        'aAcc': 0.4166667,
    }
    assert {k: scores[k] for k in expected} == pytest.approx(
        expected, abs=2e-7
    )


# --- Against a slow count, pixel by pixel ---


def slow_scores(predictions, labels, num_classes, ignore_index=255):
    """Score with sets of pixels and plain Python arithmetic."""
    pixels = [
        (p, t)
        for prediction, label in zip(predictions, labels, strict=True)
        for p, t in zip(
            prediction.ravel().tolist(), label.ravel().tolist(), strict=True
        )
        if t != ignore_index
    ]
    ious, f_betas, f_ones, fdrs = [], [], [], []
    for k in range(num_classes):
        predicted = {i for i, (p, _) in enumerate(pixels) if p == k}
        labeled = {i for i, (_, t) in enumerate(pixels) if t == k}
        hits = len(predicted & labeled)
        if predicted | labeled:
            ious.append(hits / len(predicted | labeled))
            precision = hits / len(predicted) if predicted else 0
            recall = hits / len(labeled) if labeled else 0
            for beta2, values in ((0.3, f_betas), (1, f_ones)):
                values.append(
                    (1 + beta2)
                    * precision
                    * recall
                    / (beta2 * precision + recall)
                    if hits
                    else 0
                )
        if predicted:
            fdrs.append(1 - hits / len(predicted))

    def mean(values):
        return sum(values) / len(values) if values else NAN

    return {
        'mIoU': sum(ious) / num_classes if pixels else NAN,
        'mIoU_present': mean(ious),
        'Fbeta': mean(f_betas),
        'F1': mean(f_ones),
        'FDR': mean(fdrs),
        'aAcc': mean([p == t for p, t in pixels]),
    }


@st.composite
def scored_frames(draw):
    num_classes = draw(st.integers(1, 6))
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    num_frames = draw(st.integers(1, 4))
    classes = st.integers(0, num_classes - 1)
    dtype = draw(st.sampled_from([np.uint8, np.int32, np.int64]))
    predictions = [
        draw(hnp.arrays(dtype, shape, elements=classes))
        for _ in range(num_frames)
    ]
    labels = [
        draw(hnp.arrays(np.uint8, shape, elements=classes | st.just(255)))
        for _ in range(num_frames)
    ]
    return predictions, labels, num_classes


@settings(max_examples=60, deadline=None)
@given(scored_frames())
def test_scores_equal_slow_count(frames):
    predictions, labels, num_classes = frames
    confusion = total_confusion(predictions, labels, num_classes)
    assert confusion.sum() == sum((t != 255).sum() for t in labels)
    assert scores_from_confusion(confusion) == pytest.approx(
        slow_scores(predictions, labels, num_classes), nan_ok=True
    )


# --- scores_from_confusion at its borders ---


def test_absent_class_policies():
    # Class 2 is neither labeled nor predicted.
    confusion = np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]])
    ious = (3 / 4, 2 / 3)
    scores = scores_from_confusion(confusion)
    assert scores['mIoU'] == pytest.approx(sum(ious) / 3)
    assert scores['mIoU_present'] == pytest.approx(sum(ious) / 2)


def test_without_pixels_there_is_no_score():
    scores = scores_from_confusion(np.zeros((3, 3), np.int64))
    assert all(math.isnan(score) for score in scores.values())


def test_large_counts_stay_exact():
    # Beyond float32's and int32's integers.
    confusion = np.array([[10**12, 0], [1, 10**12]])
    assert scores_from_confusion(confusion)['aAcc'] == 2e12 / (2e12 + 1)


def test_confusion_must_be_square():
    with pytest.raises(ValueError, match=r'\(2, 3\)'):
        scores_from_confusion(np.zeros((2, 3)))


# --- The metric ---

METRIC = dict(type='DatasetIoUFMetric')


def example(frame, sources=(None, None, None, None)):
    samples = []
    for i, maps in enumerate(zip(*published_example(), strict=True)):
        metainfo = {'sources': sources[i]} if sources[i] else {}
        samples.append(frame(*maps, f'clip/{i}', **metainfo))
    return samples


def test_metric_keys_name_the_protocol(frame, score):
    metrics = score(METRIC, example(frame), 5)
    assert metrics == pytest.approx(
        {
            'dataset/mIoU': 0.1204083,
            'dataset/mIoU_present': 0.1505102,
            'dataset/Fbeta': 0.2372462,
            'dataset/F1': 0.2279412,
            'dataset/FDR': 0.7528736,
            'dataset/aAcc': 0.390625,
        },
        abs=2e-7,
    )


def test_metric_is_not_rounded(frame, score):
    metrics = score(METRIC, example(frame), 5)
    assert metrics['dataset/mIoU'] == (19 / 49 + 6 / 28) / 5


def test_groups_in_one_pass(frame, score):
    predictions, labels = published_example()
    metrics = score(
        METRIC, example(frame, sources=('ss', 'ms', 'ms', 'ss')), 5
    )
    assert metrics['dataset/mIoU'] == pytest.approx(0.1204083, abs=2e-7)
    for group, chosen in (('ss', [0, 3]), ('ms', [1, 2])):
        expected = slow_scores(predictions[chosen], labels[chosen], 5)
        found = {key: metrics[f'dataset/{group}/{key}'] for key in expected}
        assert found == pytest.approx(expected)
    assert len(metrics) == 18


@pytest.mark.parametrize('seed', range(200))
def test_metric_equals_slow_count(frame, score, random_maps, seed):
    num_classes, maps = random_maps
    samples = [frame(*pair, f'clip/{i}') for i, pair in enumerate(maps)]
    found = score(METRIC, samples, num_classes, 1 + seed % 5)
    expected = slow_scores(*zip(*maps, strict=True), num_classes)
    assert found == pytest.approx(
        {f'dataset/{key}': value for key, value in expected.items()},
        abs=1e-6,
        nan_ok=True,
    )


def test_table_names_protocol_and_classes(frame, score, printed):
    score(METRIC, example(frame, sources=('ss', 'ms', 'ms', 'ss')), 5)
    (text,) = printed
    assert "Protocol 'dataset'" in text and 'absent classes count as 0' in text
    header = next(line for line in text.splitlines() if 'Class' in line)
    assert [cell.strip() for cell in header.split('|')[1:-1]] == [
        'Class',
        'IoU (all)',
        'Fbeta (all)',
        'IoU (ss)',
        'Fbeta (ss)',
        'IoU (ms)',
        'Fbeta (ms)',
    ]
    background = next(
        line for line in text.splitlines() if line.startswith('| background')
    )
    assert '38.78' in background and '60.69' in background
    absent = next(
        line for line in text.splitlines() if line.startswith('| d ')
    )
    assert set(absent.split()[3::2]) == {'-'}
