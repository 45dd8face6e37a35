"""What holds for every protocol, whatever it counts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmengine.structures import PixelData
from mmseg.registry import METRICS
from mmseg.structures import SegDataSample

import mmcpm
from mmcpm.evaluation.metrics.frame_metric import clip_of

PACKAGE = Path(mmcpm.__file__).parent
PROTOCOLS = {
    'dataset': 'DatasetIoUFMetric',
    'avsbench': 'AVSBenchJFMetric',
    'avss_legacy': 'AVSSLegacyMetric',
}
every_protocol = pytest.mark.parametrize('protocol', PROTOCOLS)


def build_metric(protocol, prefix=None):
    small = {
        'dataset': {},
        'avsbench': dict(size=None, frames_per_video=None),
        'avss_legacy': dict(size=None),
    }[protocol]
    metric = METRICS.build(
        dict(type=PROTOCOLS[protocol], prefix=prefix, **small)
    )
    metric.dataset_meta = {'classes': ('background', 'sounding')}
    return metric


def example_samples():
    """Eight random frames of three clips, the last of one without label."""
    rng = np.random.default_rng(0)
    samples = []
    for clip, frames in (('a', 3), ('b', 3), ('c', 2)):
        for i in range(frames):
            scores = torch.from_numpy(rng.normal(size=(2, 6, 5)))
            label = torch.from_numpy(rng.integers(0, 2, (1, 6, 5)))
            sample = SegDataSample(
                metainfo=dict(
                    sample_id=f'{clip}/{i}', sources='ss' if i else 'ms'
                )
            )
            sample.gt_sem_seg = PixelData(data=label * (i < 2))
            sample.pred_sem_seg = PixelData(data=scores.argmax(0)[None])
            sample.seg_logits = PixelData(data=scores.float())
            samples.append(sample.to_dict())
    return samples


def evaluate(protocol, samples, size=None, batch_size=1):
    metric = build_metric(protocol)
    for start in range(0, len(samples), batch_size):
        metric.process({}, samples[start : start + batch_size])
    return metric.evaluate(len(samples) if size is None else size)


@every_protocol
def test_names_of_the_scores_are_known_before(protocol):
    names = build_metric(protocol).score_names(('ss', 'ms'))
    assert len(names) == len(set(names))
    assert set(names) == set(evaluate(protocol, example_samples()))
    assert build_metric(protocol, 'own').score_names()[0].startswith('own')


@every_protocol
@pytest.mark.parametrize(
    'flags', [dict(frame_valid=False), dict(labeled=False)]
)
def test_what_has_no_label_is_not_scored(protocol, flags):
    """Padding and context of clips: not even a name or a size counts."""
    samples, other = example_samples(), example_samples()[:2]
    for sample in other:
        sample.update(flags, sample_id=f'c/{sample["sample_id"][-1]}')
        sample['gt_sem_seg']['data'] = torch.full((1, 7, 7), 255)
    expected = evaluate(protocol, samples)
    assert evaluate(protocol, [*other, *samples], batch_size=4) == expected


# --- Independence ---


@every_protocol
@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_batches_order_and_ranks_do_not_matter(protocol, monkeypatch, data):
    """Frames dealt to ranks in any way, some of them to several."""
    samples = example_samples()
    expected = evaluate(protocol, samples)
    repeated = data.draw(st.lists(st.sampled_from(range(8)), max_size=5))
    order = data.draw(st.permutations([*range(8), *repeated]))
    num_ranks = data.draw(st.integers(1, 4))
    parts = [[] for _ in range(num_ranks)]
    for number in order:
        data.draw(st.sampled_from(parts)).append(samples[number])
    batch_size = data.draw(st.integers(1, 5))
    metrics = [build_metric(protocol) for _ in parts]
    for metric, part in zip(metrics, parts, strict=True):
        for start in range(0, len(part), batch_size):
            metric.process({}, part[start : start + batch_size])
    everything = [metric.results for metric in metrics]
    monkeypatch.setattr(
        'mmcpm.evaluation.metrics.frame_metric.all_gather_object',
        lambda results: everything,
    )
    # Equal to the last digit.
    assert metrics[0].evaluate(8) == expected
    monkeypatch.undo()


@every_protocol
def test_metric_can_be_used_again(protocol):
    metric = build_metric(protocol)
    samples = example_samples()
    metric.process({}, samples[:1])
    metric.evaluate(1)
    metric.process({}, samples[1:])
    assert metric.evaluate(7) == evaluate(protocol, samples[1:])


@every_protocol
def test_nothing_per_pixel_is_kept(protocol):
    metric = build_metric(protocol)
    label = torch.ones(1, 500, 500, dtype=torch.long)
    sample = example_samples()[0]
    sample['gt_sem_seg'] = dict(data=label)
    sample['pred_sem_seg'] = dict(data=label)
    sample['seg_logits'] = dict(data=torch.rand(2, 500, 500))
    metric.process({}, [sample])
    (kept,) = metric.results
    assert sum(np.asarray(value).nbytes for value in kept) < 2500


def score_on_rank(rank, shares, folder):
    """Score one rank's share of the frames in a gloo group."""
    torch.distributed.init_process_group(
        'gloo',
        init_method=f'file://{folder}/rendezvous',
        rank=rank,
        world_size=len(shares),
    )
    samples = example_samples()
    share = [samples[i] for i in shares[rank]]
    scores = [evaluate(protocol, share, 8) for protocol in PROTOCOLS]
    Path(folder, f'{rank}.json').write_text(json.dumps(scores))
    torch.distributed.destroy_process_group()


def test_uneven_ranks_with_repeated_frames(tmp_path):
    # mmengine's own list, cut to 8, would lose frames and keep a repetition.
    shares = [[0, 1, 2, 4, 5, 7], [3, 3, 6]]
    environment = {**os.environ, 'PYTHONPATH': str(PACKAGE.parent)}
    arguments = [json.dumps(shares), tmp_path]
    ranks = [
        subprocess.Popen(
            [sys.executable, __file__, str(rank), *arguments], env=environment
        )
        for rank in range(2)
    ]
    assert [rank.wait(timeout=120) for rank in ranks] == [0, 0]
    expected = [evaluate(name, example_samples()) for name in PROTOCOLS]
    for rank in range(2):
        assert json.loads((tmp_path / f'{rank}.json').read_text()) == expected


# --- Names ---


@every_protocol
def test_every_key_names_its_protocol(protocol):
    metrics = evaluate(protocol, example_samples())
    told = {'avsbench': '_original_anyframes', 'avss_legacy': '_original'}
    name = protocol + told.get(protocol, '')
    assert all(key.startswith(f'{name}/') for key in metrics)


def test_two_metrics_of_one_protocol_by_prefix():
    metric = build_metric('avsbench', prefix='avsbench_other')
    metric.process({}, example_samples())
    assert set(metric.evaluate(8)) == {
        f'avsbench_other_original_anyframes/{key}' for key in ('J', 'F', 'JF')
    }


@every_protocol
def test_two_frames_of_one_name_are_refused(protocol):
    samples = example_samples()
    samples[3]['sample_id'] = 'a/0'
    with pytest.raises(ValueError, match="called 'a/0'"):
        evaluate(protocol, samples)


@pytest.mark.parametrize(
    ('sample_id', 'clip'),
    [('clip/3', 'clip'), ('test/dog/-x_0/1', 'test/dog/-x_0')],
)
def test_clip_of(sample_id, clip):
    assert clip_of(sample_id) == clip


@pytest.mark.parametrize('sample_id', ['clip', '/0', 'clip/'])
def test_clip_of_other_names(sample_id):
    with pytest.raises(ValueError, match=f"'{sample_id}'.*<clip>/<frame>"):
        clip_of(sample_id)


# --- What is missing ---


@pytest.mark.parametrize(
    ('protocol', 'missing'),
    [
        (protocol, field)
        for protocol in PROTOCOLS
        for field in ('sample_id', 'gt_sem_seg', 'pred_sem_seg')
    ]
    + [('avsbench', 'seg_logits')],
)
def test_missing_field_is_named(protocol, missing):
    sample = example_samples()[0]
    del sample[missing]
    with pytest.raises(ValueError, match=f"no '{missing}'"):
        build_metric(protocol).process({}, [sample])


@every_protocol
def test_out_of_range_names_the_frame(protocol):
    sample = example_samples()[0]
    sample['gt_sem_seg'] = dict(data=torch.full((1, 6, 5), 9))
    with pytest.raises(ValueError, match='a/0: the label holds.* 9, '):
        build_metric(protocol).process({}, [sample])


@pytest.mark.parametrize('protocol', ['dataset', 'avss_legacy'])
def test_classes_must_be_known(protocol):
    metric = METRICS.build(dict(type=PROTOCOLS[protocol], size=(6, 5)))
    with pytest.raises(ValueError, match=rf'{PROTOCOLS[protocol]}.*classes'):
        metric.process({}, example_samples())


@every_protocol
def test_nothing_scored_is_an_error(protocol):
    with pytest.raises(ValueError, match='No frame was scored'):
        build_metric(protocol).evaluate(0)


@every_protocol
def test_missing_frames_are_reported(protocol, printed):
    evaluate(protocol, example_samples(), size=9)
    assert 'has 9 frames, but 8 different' in printed[0]


if __name__ == '__main__':
    score_on_rank(int(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3])
