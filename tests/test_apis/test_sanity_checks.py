import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn as nn
from mmengine.structures import PixelData
from mmseg.registry import METRICS
from mmseg.structures import SegDataSample
from torch.utils.data import DataLoader

from mmcpm.apis import sanity_checks
from mmcpm.utils.errors import UsageError


def make_model(channels=1, **kwargs):
    model = nn.Module()
    model.audio_backbone = nn.Sequential(nn.Conv2d(channels, 4, 3))
    model.audio_frontend = SimpleNamespace(
        sample_rate=16000, min_samples=15200, num_frames=96
    )
    return model


def sample(channels=1, length=16000, **metainfo):
    data_sample = SegDataSample(metainfo=metainfo)
    data_sample.set_data({'audio': torch.zeros(channels, length)})
    return {'data_samples': data_sample}


def test_sample_that_fits():
    sanity_checks.check_sample(make_model(), sample(sample_rate=16000))
    sanity_checks.check_sample(make_model(2), sample(2, 15200))
    views = [sample()['data_samples'], sample()['data_samples']]
    sanity_checks.check_sample(make_model(), {'data_samples': views})


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (sample(2), r'2 channel\(s\), but .* in_channels=1'),
        (sample(sample_rate=8000), '8000 samples per second'),
        (sample(length=15199), 'CutAudioToFrame gives 0.949937 s'),
        (sample(length=17000), 'CutAudioToFrame gives 1.0625 s'),
        ({'data_samples': SegDataSample()}, 'carry no sound'),
        ({'data_samples': [SegDataSample()]}, 'carry no sound'),
    ],
)
def test_sample_that_does_not_fit(data, message):
    with pytest.raises(UsageError, match=message):
        sanity_checks.check_sample(make_model(), data)


def test_models_without_ears_are_not_looked_at():
    sanity_checks.check_sample(nn.Linear(1, 1), sample(7))
    sanity_checks.check_sample(make_model(), {'inputs': 0})


@pytest.mark.parametrize(
    ('batch_size', 'mixes', 'recorded', 'ranks', 'refused'),
    [
        (1, True, False, 1, True),
        (2, True, False, 1, False),
        (1, False, False, 1, False),
        (1, True, True, 1, False),
        (1, True, False, 2, False),
    ],
)
def test_mixtures_need_another_sound(
    monkeypatch, batch_size, mixes, recorded, ranks, refused
):
    monkeypatch.setattr(sanity_checks, 'get_world_size', lambda: ranks)
    model, data = make_model(), sample()
    model.decode_head = SimpleNamespace(use_mixtures=mixes)
    if recorded:
        data['data_samples'].set_data(
            {'offscreen_audio': torch.ones(1, 16000)}
        )
    loader = DataLoader([data] * 3, batch_size=batch_size)
    if refused:
        with pytest.raises(UsageError, match='=1 on one .*=2 or more.*Load'):
            sanity_checks.check_partners(model, loader, data)
    else:
        sanity_checks.check_partners(model, loader, data)


def test_segmentors_without_mixtures_are_refused():
    model = SimpleNamespace(decode_head=SimpleNamespace(use_mixtures=True))
    with pytest.raises(UsageError, match="model.type='CPMEncoderDecoder'"):
        sanity_checks.check_mixtures(model)
    model.decode_head.use_mixtures = False
    sanity_checks.check_mixtures(model)


def test_random_numbers_are_those_of_a_run_without_checks():
    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    expected = draw()
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    with pytest.raises(ValueError), sanity_checks.kept_random_state():
        draw()
        raise ValueError
    assert draw() == expected


# --- What the names of scores promise ---


class Frames:
    """A split of which ``indices`` leaves some frames."""

    def __init__(self, names, split_length=10):
        self.names = names
        self.split_length = split_length

    def sample_ids(self):
        return self.names

    def __len__(self):
        return len(self.names)


def labeled(size, **metainfo):
    view = sample(sample_id='v/0', **metainfo)['data_samples']
    view.gt_sem_seg = PixelData(data=torch.zeros(1, *size))
    return view


@pytest.mark.usefixtures('mmseg_scope')
@pytest.mark.parametrize('wrapped', [False, True])
def test_frames_of_another_size_are_refused_before_the_start(wrapped):
    metrics = [METRICS.build(dict(type='AVSBenchJFMetric'))]
    data = Frames([f'v/{i}' for i in range(5)])
    data = SimpleNamespace(dataset=data) if wrapped else data
    sanity_checks.check_protocols(
        metrics, data, {'data_samples': labeled((224, 224))}
    )
    assert metrics[0].split_frames == 10
    with pytest.raises(UsageError, match='v/0.* 96 x 96 .*224 x 224'):
        sanity_checks.check_protocols(
            metrics, data, {'data_samples': labeled((96, 96))}
        )


@pytest.mark.usefixtures('mmseg_scope')
def test_frames_that_come_twice_are_counted_once():
    metrics = [METRICS.build(dict(type='DatasetIoUFMetric'))]
    one, other = Frames(['a/0', 'a/1'], 9), Frames(['b/0'], 1)
    repeated = SimpleNamespace(dataset=Frames(['a/0', 'a/1'], 9))
    data = SimpleNamespace(datasets=[one, repeated, other])
    sanity_checks.check_protocols(metrics, data, {})
    assert metrics[0].split_frames == 9 + 1


@pytest.mark.usefixtures('mmseg_scope')
def test_one_view_has_to_show_the_frame():
    metrics = [METRICS.build(dict(type='DatasetIoUFMetric'))]
    views = [labeled((9, 12), label_shape=(12, 16)) for _ in range(2)]
    with pytest.raises(UsageError, match='9 x 12 .* 12 x 16'):
        sanity_checks.check_protocols(
            metrics, Frames([]), {'data_samples': views}
        )
    views.append(labeled((12, 16), label_shape=(12, 16)))
    sanity_checks.check_protocols(metrics, Frames([]), {'data_samples': views})


@pytest.mark.usefixtures('mmseg_scope')
def test_parts_of_videos_are_refused_before_the_start():
    metrics = [METRICS.build(dict(type='AVSBenchJFMetric'))]
    data = SimpleNamespace(
        datasets=[
            Frames([f'a/{i}' for i in range(5)]),
            Frames([f'b/{i}' for i in range(2)]),
        ]
    )
    with pytest.raises(UsageError, match="'b' has 2"):
        sanity_checks.check_protocols(metrics, data, {})


def test_every_wrapped_dataset_is_looked_at():
    """A wrapper's first sample tells of its first dataset only."""

    class Samples(list):
        def missing_files(self):
            return []

    first, second = Samples([sample()]), Samples([sample(2)])
    joined = type('Joined', (list,), {'datasets': [first, second]})(first)
    loop = SimpleNamespace(
        dataloader=DataLoader(joined), evaluator=SimpleNamespace(metrics=[])
    )
    runner = SimpleNamespace(model=make_model(), hooks=[])
    with pytest.raises(UsageError, match=r'2 channel\(s\)'):
        sanity_checks.check_run(runner, [loop])
    second[:] = [sample()]
    sanity_checks.check_run(runner, [loop])
