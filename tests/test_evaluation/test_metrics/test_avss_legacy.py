import math

import numpy as np
import pytest

METRIC = dict(type='AVSSLegacyMetric')
# Published example, classes 0 to 4.
IOU_SUMS = [1.4276419, 0.5555556, 0, 0, 0]
F_SUMS = [2.2476559, 0.8699126, 0, 0, 0]
COUNTS = [4, 4, 3, 3, 0]


def published_example():
    n, k, h, w = np.meshgrid(
        np.arange(4), np.arange(5), np.arange(4), np.arange(4), indexing='ij'
    )
    logits = 2 * np.sin(0.8 * n + 1.3 * k + 0.7 * h - 0.5 * w) - 5 * (k == 4)
    n, h, w = n[:, 0], h[:, 0], w[:, 0]
    labels = np.where(n == 2, 0, (n + h * w + h) % 3)
    return logits.argmax(1), labels


def example(frame, **metainfo):
    return [
        frame(prediction, label, f'clip/{i}', **metainfo)
        for i, (prediction, label) in enumerate(
            zip(*published_example(), strict=True)
        )
    ]


# --- Published numbers ---


def test_published_scores(frame, score):
    metrics = score(METRIC, example(frame), 5)
    assert metrics == pytest.approx(
        {
            'avss_legacy/mIoU': 0.0991599,
            'avss_legacy/Fbeta': 0.1558784,
            'avss_legacy/JF': (0.0991599 + 0.1558784) / 2,
            'avss_legacy/mIoU_present': 0.0991599 * 5 / 4,
            'avss_legacy/Fbeta_present': 0.1558784 * 5 / 4,
            'avss_legacy/no_background/mIoU': 0.0347222,
            'avss_legacy/no_background/Fbeta': 0.0543695,
            'avss_legacy/no_background_as_coded/mIoU': 0.1239498,
            'avss_legacy/no_background_as_coded/Fbeta': 0.1948480,
        },
        abs=2e-7,
    )


def test_published_sums_of_classes(frame, score, printed):
    """The table holds each class's sum over its number of frames."""
    score(METRIC, example(frame), 5)
    (text,) = printed
    rows = [line.split('|')[1:-1] for line in text.splitlines()]
    scores = {
        row[0].strip(): [cell.strip() for cell in row[1:]]
        for row in rows
        if len(row) == 3
    }
    for name, iou, f_beta, count in zip(
        ('background', *'abc'), IOU_SUMS, F_SUMS, COUNTS, strict=False
    ):
        assert scores[name] == [
            f'{100 * iou / count:.2f}',
            f'{100 * f_beta / count:.2f}',
        ]
    assert scores['d'] == ['-', '-']


# --- Padded frames ---


@pytest.mark.parametrize(
    ('subset', 'padded'), [('v1s', 5), ('v1m', 5), ('v2', 0)]
)
def test_padded_frames_are_right_background(frame, score, subset, padded):
    metric = dict(**METRIC, include_padded=True)
    metrics = score(metric, example(frame, subset=subset), 5)
    # One clip: the background gains frames of IoU 1 and F 1.
    iou = [(IOU_SUMS[0] + padded) / (4 + padded), 0.5555556 / 4]
    f_beta = [(F_SUMS[0] + padded) / (4 + padded), 0.8699126 / 4]
    assert metrics['avss_legacy_padded/mIoU'] == pytest.approx(
        sum(iou) / 5, abs=1e-7
    )
    assert metrics['avss_legacy_padded/Fbeta'] == pytest.approx(
        sum(f_beta) / 5, abs=1e-7
    )
    assert metrics['avss_legacy_padded/no_background/mIoU'] == pytest.approx(
        0.0347222, abs=1e-7
    )


def test_each_clip_is_padded_once(frame, score, printed):
    metric = dict(**METRIC, include_padded=True)
    samples = [
        frame([[0]], [[1]], f'{clip}/{i}', subset=subset)
        for clip, subset in (('p', 'v1s'), ('q', 'v1m'), ('r', 'v2'))
        for i in range(3)
    ]
    metrics = score(metric, samples, 2)
    # 9 wrong frames and 10 padded ones.
    assert metrics['avss_legacy_padded/mIoU'] == pytest.approx(10 / 19 / 2)
    assert 'and 10 padded ones' in printed[0]


def test_padding_needs_the_subset(frame, score):
    metric = dict(**METRIC, include_padded=True)
    with pytest.raises(ValueError, match='clip/0.*subset.*None'):
        score(metric, example(frame), 5)


# --- Against the definition, class by class ---


def slow_scores(frames, num_classes, ignore_index=255):
    """Score (prediction, label) pairs by loops over frames and classes."""
    ious = [[] for _ in range(num_classes)]
    fs = [[] for _ in range(num_classes)]
    for prediction, label in frames:
        pairs = np.stack([prediction, label], axis=-1).reshape(-1, 2).tolist()
        pixels = [(p, t) for p, t in pairs if t != ignore_index]
        for k in range(num_classes):
            inter = sum(p == k and t == k for p, t in pixels)
            union = sum(p == k or t == k for p, t in pixels)
            if not union:
                continue
            n_pred = sum(p == k for p, _ in pixels)
            n_gt = sum(t == k for _, t in pixels)
            ious[k].append(inter / (union + 2.2e-16))
            if not inter:  # 0 / 0, NaN, counts as 0
                fs[k].append(0.0)
                continue
            precision, recall = inter / n_pred, inter / n_gt
            fs[k].append(1.3 * precision * recall / (0.3 * precision + recall))

    def mean(values):
        return sum(values) / len(values) if values else math.nan

    result = {}
    for name, lists in (('mIoU', ious), ('Fbeta', fs)):
        column = [mean(values) if values else 0.0 for values in lists]
        result[name] = mean(column)
        result[f'{name}_present'] = mean([mean(v) for v in lists if v])
        result[f'no_background/{name}'] = mean(column[1:])
        result[f'no_background_as_coded/{name}'] = mean(column[:-1])
    result['JF'] = (result['mIoU'] + result['Fbeta']) / 2
    return {f'avss_legacy/{key}': result[key] for key in result}


@pytest.mark.parametrize('seed', range(200))
def test_equals_the_definition(frame, score, random_maps, seed):
    rng = np.random.default_rng(seed)
    num_classes, frames = random_maps
    samples = [frame(*maps, f'clip/{i}') for i, maps in enumerate(frames)]
    rng.shuffle(samples)
    found = score(METRIC, samples, num_classes, int(rng.integers(1, 6)))
    expected = slow_scores(frames, num_classes)
    assert found == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_one_stray_pixel_costs_a_frame(frame, score):
    label = np.ones((10, 10), int)
    stray = label.copy()
    stray[0, 0] = 2
    samples = [frame(label, label, 'clip/0'), frame(stray, label, 'clip/1')]
    metrics = score(METRIC, samples, 3)
    # Class 2: one frame, no hit; class 1: 1 and 0.99.
    assert metrics['avss_legacy/mIoU_present'] == pytest.approx(
        ((1 + 0.99) / 2 + 0) / 2
    )


def test_log_states_protocol(frame, score, printed):
    score(METRIC, example(frame), 5)
    assert "Protocol 'avss_legacy_original'" in printed[0]
    assert '4 frames, none padded' in printed[0]
