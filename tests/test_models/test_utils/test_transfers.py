"""How often the host waits for the device, counted on fake CUDA tensors.

A fake tensor has a device but no values: whatever asks for a value, and so
makes the host wait, fails or is counted here.
"""

import traceback
from pathlib import Path

import mmdet
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

import mmcpm
from mmcpm.models.assigners import finite_hungarian_assigner
from mmcpm.models.losses import point_sampling as mask_points
from mmcpm.models.ops import ms_deform_attn, sampling_table
from mmcpm.models.utils.transfers import few_numbers, many_numbers, to_host

CONFIGS = Path(__file__).resolve().parents[3] / 'configs'
SIZE = 64
# A clone may be called mmcpm as well.
PACKAGES = tuple(f'{Path(m.__file__).parent}/' for m in (mmcpm, mmdet))


class Crossings(TorchDispatchMode):
    """Lists the places in the code where something changes the device."""

    def __init__(self):
        super().__init__()
        self.places = []
        self.classes = 0

    def note(self):
        frames = [
            frame
            for frame in traceback.extract_stack()
            if frame.filename.startswith(PACKAGES)
        ]
        last = frames[-1] if frames else traceback.extract_stack()[-3]
        self.places.append(f'{last.filename}:{last.lineno}')

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func.__name__.startswith(('_to_copy', 'copy_')):
            pair = (
                args[:2] if func.__name__[:5] == 'copy_' else (args[0], result)
            )
            if len({tensor.device.type for tensor in pair}) > 1:
                self.note()
        return result


@pytest.fixture
def crossings(monkeypatch):
    """A count in which copies to the host count and bring made-up values."""
    counted = Crossings()

    def made_up(tensor):
        counted.note()
        if tensor.dtype != torch.bool:
            return np.random.default_rng(0).random(tuple(tensor.shape))
        # Column k + 1 is class k: background, and one of up to three.
        table = np.zeros(tuple(tensor.shape), bool)
        index = np.arange(len(table))
        table[index, 1] = True
        table[index, 2 + index % min(3, counted.classes - 1)] = True
        return table

    for module in (mask_points, finite_hungarian_assigner):
        monkeypatch.setattr(module, 'to_host', made_up)
    yield counted
    forget()  # No other test may find fake tensors there.


def forget():
    """Empty the caches of constants on a device: the first step counts."""
    sampling_table.sample_constants.cache_clear()
    ms_deform_attn._level_tensors.cache_clear()


def waits(places):
    """Those for which the host waits: pinned memory is copied meanwhile."""
    return [place for place in places if 'transfers.py' not in place]


def small(name):
    """A shipped configuration with fewer layers and small frames."""
    init_default_scope('mmseg')
    cfg = Config.fromfile(CONFIGS / name.split('_')[0] / f'{name}.py').model
    cfg.backbone.update(depth=18, init_cfg=None)
    cfg.audio_backbone.init_cfg = None
    width = cfg.backbone.get('base_channels', 64)
    cfg.decode_head.in_channels = [width * k for k in (1, 2, 4, 8)]
    cfg.decode_head.pixel_decoder.encoder.num_layers = 1
    cfg.decode_head.transformer_decoder.num_layers = 3
    cfg.decode_head.train_cfg.num_points = 64
    cfg.data_preprocessor.size = (SIZE, SIZE)
    if cfg.decode_head.get('classifier'):
        # The step updates the mixtures as well.
        cfg.decode_head.classifier.em_interval = 1
    return cfg


def fake_batch(cfg, batch, offscreen):
    """Images and data samples; on a GPU in its context."""
    frontend = cfg.audio_frontend
    samples = frontend.num_frames * frontend.hop_length
    shape = (cfg.audio_backbone.in_channels, samples)
    data_samples = []
    for index in range(batch):
        label = 1 + index % min(3, cfg.decode_head.num_classes - 1)
        meta = dict(sample_id=f'clip/{index}', audio_labels=(label,))
        sample = SegDataSample(metainfo=meta)
        label_map = torch.zeros(1, SIZE, SIZE, dtype=torch.long)
        sample.gt_sem_seg = PixelData(data=label_map)
        sample.audio = torch.randn(shape)
        if offscreen:
            sample.offscreen_audio = torch.randn(shape)
        data_samples.append(sample)
    return torch.randn(batch, 3, SIZE, SIZE), data_samples


def count(crossings, cfg, batches, offscreen=False, dtype=None):
    """Places where the forward pass of a training step crosses, by batch."""
    forget()
    places = {}
    crossings.classes = cfg.decode_head.num_classes
    with FakeTensorMode():
        with torch.device('cuda'):
            model = revert_sync_batchnorm(MODELS.build(cfg)).train()
        for batch in batches:
            with torch.device('cuda'):
                images, data_samples = fake_batch(cfg, batch, offscreen)
            crossings.places = []
            half = torch.autocast(
                'cuda', dtype or torch.float16, enabled=dtype is not None
            )
            with crossings, half:
                losses = model(images, data_samples, mode='loss')
            places[batch] = crossings.places
            for name, value in losses.items():
                assert value.device.type == 'cuda', name
                assert value.dtype == torch.float32 or 'loss' not in name
    return places


@pytest.mark.parametrize(
    'name, batches',
    [
        ('cpm_r50_avss', (1, 4, 16)),
        ('cpm_r50_s4', (1, 4)),
        ('cpm_r50_vpo_ss', (1, 4)),
        ('avmask2former_r50_avss', (1, 4)),
    ],
)
def test_a_step_waits_at_most_thrice_whatever_the_batch(
    crossings, name, batches
):
    """The first step as well, in which constants are made."""
    places = count(crossings, small(name), batches)
    for batch, found in places.items():
        # Classes of the labels, and costs of all matching.
        assert len(waits(found)) == 2, f'batch {batch}: {found}'
        assert len(found) <= 4, f'batch {batch}: {found}'
        assert found == places[1]


@pytest.mark.parametrize(
    'changes, kwargs',
    [
        (dict(label_source='crop', acp_embedding='td_a'), {}),
        (
            dict(
                loss_pcl=dict(type='PromptContrastiveLoss', pooling='max'),
            ),
            dict(offscreen=True, dtype=torch.bfloat16),
        ),
        ({}, dict(dtype=torch.float16)),
    ],
    ids=['crop', 'pooled', 'float16'],
)
def test_whatever_is_chosen(crossings, changes, kwargs):
    cfg = small('cpm_r18_scenes')
    cfg.decode_head.update(changes)
    places = count(crossings, cfg, (3,), **kwargs)
    assert len(waits(places[3])) == 2, places


def test_a_few_numbers_are_those_asked_for():
    device = torch.device('cpu')
    numbers = few_numbers([3, -1, 255, True], device)
    assert numbers.dtype == torch.int64
    assert numbers.tolist() == [3, -1, 255, 1]
    assert few_numbers((), device).shape == (0,)


def test_the_way_of_a_gpu_gives_the_same_numbers():
    """What :func:`few_numbers` asks of a GPU."""
    values = torch.zeros(300, dtype=torch.int64)
    torch._foreach_add_(values.unbind(), list(range(-5, 295)))
    assert values.tolist() == list(range(-5, 295))


def test_small_things_reach_a_gpu(crossings):
    with FakeTensorMode(), crossings:
        few = few_numbers([3, 1, 2], torch.device('cuda'))
        none = few_numbers([], torch.device('cuda'))
        assert not crossings.places
        many = many_numbers(np.ones((2, 5), np.int64), torch.device('cuda'))
    for tensor, shape in ((few, (3,)), (none, (0,)), (many, (2, 5))):
        assert tensor.device.type == 'cuda'
        assert tensor.dtype == torch.int64
        assert tuple(tensor.shape) == shape
    assert len(crossings.places) == 1


def test_values_come_back_as_they_are():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    tensor = many_numbers(array, torch.device('cpu'))
    assert np.array_equal(to_host(tensor), array)
