import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.registry import METRICS
from mmseg.structures import SegDataSample
from torch.utils.data import DataLoader

from mmcpm.apis import sanity_checks as preflight
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
    preflight.check_sample(make_model(), sample(sample_rate=16000))
    preflight.check_sample(make_model(2), sample(2, 15200))
    views = [sample()['data_samples'], sample()['data_samples']]
    preflight.check_sample(make_model(), {'data_samples': views})


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
        preflight.check_sample(make_model(), data)


def test_models_without_ears_are_not_looked_at():
    preflight.check_sample(nn.Linear(1, 1), sample(7))
    preflight.check_sample(make_model(), {'inputs': 0})


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
    monkeypatch.setattr(preflight, 'get_world_size', lambda: ranks)
    model, data = make_model(), sample()
    model.decode_head = SimpleNamespace(use_mixtures=mixes)
    if recorded:
        data['data_samples'].set_data(
            {'offscreen_audio': torch.ones(1, 16000)}
        )
    loader = DataLoader([data] * 3, batch_size=batch_size)
    if refused:
        with pytest.raises(UsageError, match='=1 on one .*=2 or more.*Load'):
            preflight.check_partners(model, loader, data)
    else:
        preflight.check_partners(model, loader, data)


def test_segmentors_without_mixtures_are_refused():
    model = SimpleNamespace(decode_head=SimpleNamespace(use_mixtures=True))
    with pytest.raises(UsageError, match="model.type='CPMEncoderDecoder'"):
        preflight.check_mixtures(model)
    model.decode_head.use_mixtures = False
    preflight.check_mixtures(model)


def test_random_numbers_are_those_of_a_run_without_checks():
    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    expected = draw()
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    with pytest.raises(ValueError), preflight.kept_random_state():
        draw()
        raise ValueError
    assert draw() == expected


@pytest.mark.parametrize(
    ('settings', 'accepted'),
    [
        ({'batch_size': 1, 'num_workers': 0}, True),
        ({'batch_size': None}, True),
        ({}, True),
        ({'batch_size': True}, False),
        ({'batch_size': '2'}, False),
        ({'num_workers': -1}, False),
    ],
)
def test_numbers(settings, accepted):
    cfg = Config({'train_dataloader': settings})
    if accepted:
        preflight.check_numbers(cfg, ('train_dataloader', 'val_dataloader'))
        return
    with pytest.raises(UsageError, match='train_dataloader.* whole number'):
        preflight.check_numbers(cfg, ('train_dataloader',))


class Runner:
    """What the checks look at."""

    def __init__(self, work_dir):
        self.work_dir = str(work_dir)
        self.model = nn.Linear(1 << 18, 1, bias=False)  # 1 MiB
        self.lines = []
        self.logger = SimpleNamespace(warning=self.lines.append)


@pytest.mark.parametrize(
    ('free', 'refused', 'warned'),
    [(0.9, True, False), (8.0, False, True), (9.5, False, False)],
)
def test_space(tmp_path, monkeypatch, free, refused, warned):
    monkeypatch.setattr(
        'shutil.disk_usage',
        lambda path: SimpleNamespace(free=free * 2**20),
    )
    runner = Runner(tmp_path)
    if refused:
        with pytest.raises(UsageError, match='the weights alone are 1 MiB'):
            preflight.check_space(runner)
    else:
        preflight.check_space(runner)
    assert len(runner.lines) == warned
    assert not warned or 'may need 9 MiB' in runner.lines[0]


# --- What the names of scores promise ---


class Frames:
    """A split of which ``indices`` leaves some frames."""

    def __init__(self, names, split_length=10):
        self.names = names
        self.split_length = split_length

    def sample_ids(self):
        return self.names


def labelled(size, **metainfo):
    view = sample(sample_id='v/0', **metainfo)['data_samples']
    view.gt_sem_seg = PixelData(data=torch.zeros(1, *size))
    return view


@pytest.mark.parametrize('wrapped', [False, True])
def test_frames_of_another_size_are_refused_before_the_start(wrapped):
    metrics = [METRICS.build(dict(type='AVSBenchJFMetric'))]
    data = Frames([f'v/{i}' for i in range(5)])
    data = SimpleNamespace(dataset=data) if wrapped else data
    preflight.check_protocols(
        metrics, data, {'data_samples': labelled((224, 224))}
    )
    assert metrics[0].split_frames == 10
    with pytest.raises(UsageError, match='v/0.* 96 x 96 .*224 x 224'):
        preflight.check_protocols(
            metrics, data, {'data_samples': labelled((96, 96))}
        )


def test_one_view_has_to_show_the_frame():
    metrics = [METRICS.build(dict(type='DatasetIoUFMetric'))]
    views = [labelled((9, 12), label_shape=(12, 16)) for _ in range(2)]
    with pytest.raises(UsageError, match='9 x 12 .* 12 x 16'):
        preflight.check_protocols(metrics, Frames([]), {'data_samples': views})
    views.append(labelled((12, 16), label_shape=(12, 16)))
    preflight.check_protocols(metrics, Frames([]), {'data_samples': views})


def test_parts_of_videos_are_refused_before_the_start():
    metrics = [METRICS.build(dict(type='AVSBenchJFMetric'))]
    data = SimpleNamespace(
        datasets=[
            Frames([f'a/{i}' for i in range(5)]),
            Frames([f'b/{i}' for i in range(2)]),
        ]
    )
    with pytest.raises(UsageError, match="'b' has 2"):
        preflight.check_protocols(metrics, data, {})


def test_every_wrapped_dataset_is_looked_at():
    """A wrapper's first sample tells of its first dataset only."""

    class Samples(list):
        def missing_files(self):
            return []

    first, second = Samples([sample()]), Samples([sample(2)])
    joined = type('Joined', (list,), {'datasets': [first, second]})(first)
    loop = SimpleNamespace(
        dataloader=DataLoader(joined),
        evaluator=SimpleNamespace(metrics=[]),
    )
    runner = SimpleNamespace(model=make_model(), hooks=[])
    with pytest.raises(UsageError, match=r'2 channel\(s\)'):
        preflight.check_run(runner, [loop])
    second[:] = [sample()]
    preflight.check_run(runner, [loop])
