import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmcpm.analysis_tools.explain import collect
from mmcpm.analysis_tools.explain.collect import (
    collect_query_classes,
    frame_title,
    mixture_points,
    separate_sources,
)

CONFIGS = Path(__file__).resolve().parents[3] / 'configs'
NUM_CLASSES = 9
CLASSES = ['background', *'abcdefgh']


def feed(model, classes):
    """Let the mixtures know some classes."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.tensor(classes).repeat(10)
    features = torch.randn(len(labels), 64, generator=generator)
    mixtures = model.decode_head.mixtures.train()
    mixtures.enqueue(features + 3 * labels[:, None].cos(), labels)
    mixtures.update()
    return model.eval()


@pytest.fixture(scope='module')
def untaught():
    init_default_scope('mmseg')
    cfg = Config.fromfile(CONFIGS / '_base_/models/cpm_r18_tiny.py').model
    torch.manual_seed(0)
    model = MODELS.build(cfg).eval()
    model.decode_head.init_weights()
    return model


@pytest.fixture
def model(untaught):
    return feed(copy.deepcopy(untaught), [0, 1, 2, 3, NUM_CLASSES])


def frame(name, classes, seed, size=64):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.zeros(1, size, size, dtype=torch.long)
    for slot, class_id in enumerate(classes):
        labels[:, 10 * slot : 10 * slot + 10, :20] = class_id
    sample = SegDataSample(
        metainfo={
            'sample_id': name,
            'ori_shape': (size, size),
            'img_shape': (size, size),
            'audio_labels': tuple(classes),
        }
    )
    sample.gt_sem_seg = PixelData(data=labels)
    sample.audio = 0.1 * torch.randn(1, 16000, generator=generator)
    inputs = torch.randint(0, 256, (3, size, size), generator=generator)
    return {'inputs': inputs.byte(), 'data_samples': sample}


@pytest.fixture
def frames():
    # Of two sizes, as in AVSBench.
    return [frame('a/0', [1, 3], 0), frame('b/4', [2], 1, size=96)]


def magnitudes(model, frames):
    sounds = torch.stack([frame['data_samples'].audio for frame in frames])
    return model.audio_frontend(sounds)[0][:, 0].numpy()


def test_each_is_the_noise_of_the_other(model, frames):
    rows, notes = separate_sources(model, frames, CLASSES, 0)
    clean = magnitudes(model, frames)
    assert [row.title for row in rows] == ['a/0: a, c', 'b/4: b']
    assert not notes
    for row, own, other in zip(rows, clean, clean[::-1], strict=True):
        np.testing.assert_allclose(row.mixture, clean.sum(0), rtol=1e-5)
        np.testing.assert_allclose(row.target, own, atol=1e-4)
        np.testing.assert_allclose(row.noise, other, atol=1e-4)


@pytest.mark.parametrize('logit, share', [(0.0, 0.5), (99.0, 1.0)])
def test_recovered_is_mixture_times_ratio(
    model, frames, monkeypatch, logit, share
):
    """Of two prompts with half of the logit each, which are summed."""
    monkeypatch.setattr(
        model.decode_head,
        'audio_masks',
        lambda prompted, mixed: torch.full((1, 2, 12, 32), logit / 2),
    )
    frames[1]['data_samples'].set_metainfo({'audio_labels': (2, 6)})
    model = feed(model, [6])
    rows, _ = separate_sources(model, frames, CLASSES, 0)
    clean = magnitudes(model, frames)
    for row, own in zip(rows, clean, strict=True):
        np.testing.assert_allclose(row.recovered, share * row.mixture, 1e-5)
        ratio = own / clean.sum(0)
        error = np.square(share - ratio).mean()
        assert row.unexplained == pytest.approx(error / ratio.var(), rel=1e-3)


def test_prompts_depend_on_the_seed_alone(model, frames):
    def recovered(seed):
        return separate_sources(model, frames, CLASSES, seed)[0][0].recovered

    before = torch.get_rng_state()
    first = recovered(0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(5)
    assert (recovered(0) == first).all()
    assert (recovered(1) != first).any()


@pytest.mark.parametrize(
    'classes, reason',
    [
        ([1], 'without c/0, for which no other frame has another sound'),
        ([], 'without c/0, in which nothing sounds'),
        ([5], 'without c/0, of which not every class could be prompted'),
        ([2, 5], 'without c/0, of which not every class could be prompted'),
    ],
)
def test_what_cannot_be_recovered_is_told(model, classes, reason):
    # Whatever class there is, one of the others has another one.
    others = [frame('a/0', [1], 0), frame('b/0', [1, 2], 1)]
    if classes != [1]:
        others[1] = frame('b/0', [3], 1)
    rows, notes = separate_sources(
        model, [*others, frame('c/0', classes, 2)], CLASSES, 0
    )
    (note,) = [note for note in notes if 'c/0' in note]
    assert note.startswith(reason)
    if classes == [1]:
        assert not rows and notes[-1] == 'left out, no frame remains'
    else:
        assert len(rows) == 2


def test_heads_that_hear_no_mixtures_recover_nothing(model, frames):
    model.decode_head.loss_acp = None
    rows, notes = separate_sources(model, frames, CLASSES, 0)
    assert not rows
    assert len(notes) == 1 and 'loss_acp' in notes[0]


def test_points_of_the_mixtures(model):
    mixtures = model.decode_head.mixtures
    points = mixture_points(mixtures, 20, seed=0)
    assert np.bincount(points.labels).tolist() == [10] * 4 + [0] * 5 + [10]
    assert points.members.shape == (50, 64)
    third = mixtures.bank[3, :10].numpy()
    assert (points.members[points.labels == 3] == third).all()
    assert points.mean_labels.tolist() == [0, 1, 2, 3, NUM_CLASSES]
    assert (points.means == mixtures.mean[[0, 1, 2, 3, 9]].numpy()).all()
    assert points.weights.sum(1) == pytest.approx(np.ones(5))
    # Background and "no object" are not prompted, nor what is not known.
    assert np.bincount(points.sample_labels).tolist() == [0, 20, 20, 20]
    again = mixture_points(mixtures, 20, seed=0)
    assert (again.samples == points.samples).all()
    assert (mixture_points(mixtures, 20, 1).samples != points.samples).any()


def test_prompts_without_noise_are_means(model):
    mixtures = model.decode_head.mixtures
    points = mixture_points(mixtures, 5, seed=0, noise=False)
    for sample, label in zip(
        points.samples, points.sample_labels, strict=True
    ):
        distance = np.abs(mixtures.mean[label].numpy() - sample).max(1)
        assert distance.min() < 1e-6


def test_queries_of_a_frame(model, frames):
    rows = collect_query_classes(model, frames, CLASSES)
    data = model.data_preprocessor(
        {key: [copy.deepcopy(frames[1][key])] for key in frames[1]}, False
    )
    with torch.no_grad():
        (expected,) = model.predict(**data)
    assert rows[1].title == 'b/4: b'
    assert (
        rows[1].audio_query_classes == expected.audio_query_classes.numpy()
    ).all()
    assert (rows[1].query_classes == expected.query_classes.numpy()).all()
    assert rows[1].audio_query_classes.shape == (20,) and rows[
        1
    ].query_classes.shape == (1, 20)
    prediction = expected.pred_sem_seg.data[0].numpy()
    assert (rows[1].prediction == prediction).all()
    assert (
        rows[1].labels == frames[1]['data_samples'].gt_sem_seg.data[0].numpy()
    ).all()
    # BGR is what OpenCV reads.
    blue, _, red = frames[1]['inputs'].numpy()
    assert (rows[1].frame[..., 0] == red).all()
    assert (rows[1].frame[..., 2] == blue).all()


def test_sliding_windows_name_queries_one_by_one(model, frames):
    model.test_cfg = Config(
        {'mode': 'slide', 'crop_size': (64, 64), 'stride': (32, 32)}
    )
    rows = collect_query_classes(model, frames, CLASSES)
    assert [row.query_classes.shape for row in rows] == [(1, 20), (4, 20)]


def test_silence_has_a_title():
    sample = frame('a/0', [], 0)['data_samples']
    assert frame_title(sample, CLASSES) == 'a/0: nothing sounds'


@pytest.mark.parametrize('device', ['cpu', 'cuda:1'])
def test_the_other_gpus_are_not_touched(monkeypatch, device):
    asked, fork = [], torch.random.fork_rng

    def note(devices):
        asked.extend(map(str, devices))
        return fork([])

    monkeypatch.setattr(torch.random, 'fork_rng', note)
    before = torch.get_rng_state()
    with collect._seeded(5, torch.device(device)):
        assert torch.initial_seed() == 5
    assert asked == [device][device == 'cpu' :]
    assert torch.equal(torch.get_rng_state(), before)
