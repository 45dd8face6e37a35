import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mmengine.evaluator import Evaluator
from mmengine.structures import PixelData
from mmseg.registry import METRICS
from mmseg.structures import SegDataSample

import mmcpm
from mmcpm.evaluation import (
    DatasetIoUFMetric,
    frame_confusion,
    per_class_scores,
    scores_from_confusion,
)

PACKAGE = Path(mmcpm.__file__).parent
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
        labelled = {i for i, (_, t) in enumerate(pixels) if t == k}
        hits = len(predicted & labelled)
        if predicted | labelled:
            ious.append(hits / len(predicted | labelled))
            precision = hits / len(predicted) if predicted else 0
            recall = hits / len(labelled) if labelled else 0
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


# --- frame_confusion at its borders ---


def test_rows_are_labels():
    confusion = frame_confusion(np.array([[2]]), np.array([[1]]), 3)
    assert confusion.dtype == np.int64
    assert confusion[1, 2] == 1 and confusion.sum() == 1


def test_uint8_maps_of_many_classes_do_not_overflow():
    confusion = frame_confusion(
        np.full((2, 2), 70, np.uint8), np.full((2, 2), 69, np.uint8), 71
    )
    assert confusion[69, 70] == 4


def test_tensors_with_leading_axis():
    prediction = torch.tensor([[[0, 1]]])
    assert frame_confusion(prediction, prediction, 2).tolist() == [
        [1, 0],
        [0, 1],
    ]


@pytest.mark.parametrize('name', ['label', 'prediction'])
@pytest.mark.parametrize('value', [3, 200, -1])
def test_values_out_of_range_are_refused(name, value):
    maps = {
        'label': np.zeros((2, 2), np.int64),
        'prediction': np.zeros((2, 2), np.int64),
    }
    maps[name][1, 0] = value
    with pytest.raises(
        ValueError, match=rf'clip/7: the {name} holds the value {value}'
    ):
        frame_confusion(**maps, num_classes=3, sample_id='clip/7')


def test_any_prediction_is_accepted_where_ignored():
    label = np.array([[255, 0]], np.uint8)
    prediction = np.array([[99, 0]])
    assert frame_confusion(prediction, label, 2).tolist() == [[1, 0], [0, 0]]


def test_other_ignore_index():
    label = np.array([[7, 0]], np.uint8)
    confusion = frame_confusion(label * 0, label, 2, ignore_index=7)
    assert confusion.sum() == 1


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r'clip/0.*\(2, 3\).*\(3, 2\)'):
        frame_confusion(
            np.zeros((2, 3), int), np.zeros((3, 2), int), 2, sample_id='clip/0'
        )


def test_probabilities_are_refused():
    with pytest.raises(TypeError, match='clip/0: the prediction.*float32'):
        frame_confusion(
            np.zeros((2, 2), np.float32),
            np.zeros((2, 2), int),
            2,
            sample_id='clip/0',
        )


def test_stacked_frames_are_refused():
    with pytest.raises(ValueError, match=r'\(2, 4, 4\)'):
        frame_confusion(np.zeros((2, 4, 4), int), np.zeros((4, 4), int), 2)


# --- scores_from_confusion at its borders ---


def test_absent_class_policies():
    # Class 2 is neither labelled nor predicted.
    confusion = np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]])
    ious = (3 / 4, 2 / 3)
    assert scores_from_confusion(confusion)['mIoU'] == pytest.approx(
        sum(ious) / 3
    )
    assert scores_from_confusion(confusion, absent_as_zero=False)[
        'mIoU'
    ] == pytest.approx(sum(ious) / 2)


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


def data_sample(prediction, label, **metainfo):
    sample = SegDataSample(metainfo=metainfo)
    sample.gt_sem_seg = PixelData(data=torch.as_tensor(label)[None])
    sample.pred_sem_seg = PixelData(data=torch.as_tensor(prediction)[None])
    return sample


def example_samples(sources=(None, None, None, None)):
    samples = []
    for i, (prediction, label) in enumerate(
        zip(*published_example(), strict=True)
    ):
        metainfo = {'sample_id': f'clip/{i}'}
        if sources[i] is not None:
            metainfo['sources'] = sources[i]
        samples.append(data_sample(prediction, label, **metainfo))
    return samples


def build_metric(**kwargs):
    metric = METRICS.build(dict(type='DatasetIoUFMetric', **kwargs))
    metric.dataset_meta = {'classes': ('background', 'a', 'b', 'c', 'd')}
    return metric


def evaluate(samples, batch_size=1, size=None, **kwargs):
    metric = build_metric(**kwargs)
    evaluator = Evaluator(metric)
    evaluator.dataset_meta = metric.dataset_meta
    for start in range(0, len(samples), batch_size):
        evaluator.process(samples[start : start + batch_size])
    return evaluator.evaluate(len(samples) if size is None else size)


def test_metric_keys_name_the_protocol():
    metrics = evaluate(example_samples())
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


def test_metric_is_not_rounded():
    assert (
        evaluate(example_samples())['dataset/mIoU'] == (19 / 49 + 6 / 28) / 5
    )


def test_metric_leaving_absent_classes_out():
    metrics = evaluate(example_samples(), absent_as_zero=False)
    assert metrics['dataset/mIoU'] == metrics['dataset/mIoU_present']


def test_groups_in_one_pass():
    predictions, labels = published_example()
    metrics = evaluate(example_samples(sources=('ss', 'ms', 'ms', 'ss')))
    assert metrics['dataset/mIoU'] == pytest.approx(0.1204083, abs=2e-7)
    for group, chosen in (('ss', [0, 3]), ('ms', [1, 2])):
        expected = slow_scores(predictions[chosen], labels[chosen], 5)
        found = {key: metrics[f'dataset/{group}/{key}'] for key in expected}
        assert found == pytest.approx(expected)
    assert len(metrics) == 18


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(4)), batch_size=st.integers(1, 4))
def test_order_and_batch_size_do_not_matter(order, batch_size):
    samples = example_samples(sources=('ss', 'ms', 'ms', 'ss'))
    shuffled = [samples[i] for i in order]
    assert evaluate(shuffled, batch_size) == evaluate(samples)


def test_repeated_frame_counts_once():
    samples = example_samples()
    assert evaluate([*samples, samples[0]], size=4) == evaluate(samples)


def test_two_frames_of_one_name_are_refused():
    samples = example_samples()
    samples[1].set_metainfo({'sample_id': 'clip/0'})
    with pytest.raises(ValueError, match="called 'clip/0'"):
        evaluate(samples)


def test_results_are_small():
    metric = build_metric()
    label = np.zeros((200, 200), np.int64)
    metric.process({}, [data_sample(label, label, sample_id='a').to_dict()])
    ((_, _, entries, counts),) = metric.results
    assert entries.tolist() == [0] and counts.tolist() == [40000]


def test_metric_can_be_used_again():
    metric = build_metric()
    samples = [sample.to_dict() for sample in example_samples()]
    metric.process({}, samples[:1])
    metric.evaluate(1)
    metric.process({}, samples)
    assert metric.evaluate(4)['dataset/aAcc'] == 0.390625


@pytest.mark.parametrize(
    'missing', ['sample_id', 'gt_sem_seg', 'pred_sem_seg']
)
def test_missing_field_is_named(missing):
    sample = example_samples()[0].to_dict()
    del sample[missing]
    with pytest.raises(ValueError, match=f"no '{missing}'"):
        build_metric().process({}, [sample])


def test_out_of_range_names_the_frame():
    sample = data_sample(
        np.zeros((2, 2), int), np.full((2, 2), 9), sample_id='clip/3'
    )
    with pytest.raises(ValueError, match='clip/3: the label holds.* 9, '):
        build_metric().process({}, [sample.to_dict()])


def test_classes_must_be_known():
    metric = DatasetIoUFMetric()
    with pytest.raises(ValueError, match='dataset_meta'):
        metric.process({}, [example_samples()[0].to_dict()])


def test_nothing_scored_is_an_error():
    with pytest.raises(ValueError, match='No frame was scored'):
        build_metric().evaluate(0)


@pytest.fixture
def printed(monkeypatch):
    lines = []
    monkeypatch.setattr(
        'mmcpm.evaluation.dataset_iou_f.print_log',
        lambda message, **kwargs: lines.append(message),
    )
    return lines


def test_missing_frames_are_reported(printed):
    evaluate(example_samples(), size=6)
    assert 'has 6 frames, but 4 different' in printed[0]


def test_table_names_protocol_and_classes(printed):
    evaluate(example_samples(sources=('ss', 'ms', 'ms', 'ss')))
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


# --- Several ranks ---


def score_on_rank(rank, shares, folder):
    """Score one rank's share of the frames in a gloo group."""
    torch.distributed.init_process_group(
        'gloo',
        init_method=f'file://{folder}/rendezvous',
        rank=rank,
        world_size=len(shares),
    )
    metric = build_metric()
    samples = example_samples(sources=('ss', 'ms', 'ms', 'ss'))
    metric.process({}, [samples[i].to_dict() for i in shares[rank]])
    scores = metric.evaluate(4)
    Path(folder, f'{rank}.json').write_text(json.dumps(scores))
    torch.distributed.destroy_process_group()


def test_uneven_ranks_with_repeated_frames(tmp_path):
    # mmengine's own list, cut to 4, would be 0, 3, 1, 3: frame 2 is lost.
    shares = [[0, 1, 2], [3, 3]]
    environment = {**os.environ, 'PYTHONPATH': str(PACKAGE.parent)}
    arguments = [json.dumps(shares), tmp_path]
    ranks = [
        subprocess.Popen(
            [sys.executable, __file__, str(rank), *arguments], env=environment
        )
        for rank in range(2)
    ]
    assert [rank.wait(timeout=120) for rank in ranks] == [0, 0]
    expected = evaluate(example_samples(sources=('ss', 'ms', 'ms', 'ss')))
    for rank in range(2):
        assert json.loads((tmp_path / f'{rank}.json').read_text()) == expected


if __name__ == '__main__':
    score_on_rank(int(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3])
