"""A model small enough for unit tests, and batches to feed it with."""

from pathlib import Path

import pytest
import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmcpm.models.utils.mixing import MixedAudio, MixedAudioFeatures
from mmcpm.structures import AudioFeatures

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


def read_tiny(name):
    """Configuration of a model of the scenes with fewer points."""
    init_default_scope('mmseg')
    cfg = Config.fromfile(CONFIGS / f'_base_/models/{name}_r18_tiny.py')
    cfg.model.decode_head.train_cfg.num_points = 64
    cfg.model.data_preprocessor.size = (64, 64)
    return cfg.model


@pytest.fixture
def tiny_cfg():
    """Configuration of the scenes model with fewer points."""
    return read_tiny('avmask2former')


@pytest.fixture
def tiny_model(tiny_cfg):
    torch.manual_seed(0)
    return MODELS.build(tiny_cfg)


@pytest.fixture
def cpm_cfg():
    """Configuration of the full CPM with fewer points."""
    return read_tiny('cpm')


@pytest.fixture
def combo_cfg():
    """Configuration of COMBO with fewer points."""
    return read_tiny('combo')


@pytest.fixture
def make_batch():
    """Make a raw batch as a dataloader yields it."""

    def make(batch_size=2, size=64, labels=(1, 3), seed=0, samples=16000):
        generator = torch.Generator().manual_seed(seed)
        data_samples, inputs = [], []
        for index in range(batch_size):
            label = torch.zeros(1, size, size, dtype=torch.long)
            for slot, class_id in enumerate(labels):
                start = slot * size // 2
                label[:, start : start + size // 3, : size // 2] = class_id
            data_sample = SegDataSample(
                metainfo=dict(
                    ori_shape=(size, size),
                    img_shape=(size, size),
                    img_path=f'clip/{index}.jpg',
                    sample_id=f'clip/{index}',
                    audio_labels=tuple(sorted(labels)),
                )
            )
            data_sample.gt_sem_seg = PixelData(data=label)
            data_sample.audio = 0.1 * torch.randn(
                1, samples, generator=generator
            )
            data_samples.append(data_sample)
            inputs.append(
                torch.randint(
                    0,
                    256,
                    (3, size, size),
                    generator=generator,
                    dtype=torch.uint8,
                )
            )
        return dict(inputs=inputs, data_samples=data_samples)

    return make


@pytest.fixture
def marked_levels():
    """Replace the audio neck of a model by one whose levels are known.

    From fine to coarse, as a neck gives them, all their values are 1, 2 and
    3, plus 10 where the sound is a mixture of two.
    """

    class Neck(nn.Module):
        # One second, 96 x 256, at strides 4, 8 and 16.
        SIZES = ((24, 64), (12, 32), (6, 16))

        def forward(self, spectrogram):
            # Waveforms of the tests are of one level: mixtures are louder.
            loud = spectrogram.mean((1, 2, 3)) > self.threshold
            return [
                (value + 10.0 * loud)[:, None, None, None].expand(
                    -1, 64, *size
                )
                for value, size in enumerate(self.SIZES, start=1)
            ]

    def replace(model, waveform):
        _, spectrogram = model.audio_frontend(waveform)
        model.audio_backbone = nn.Identity()
        model.audio_neck = Neck()
        model.audio_neck.threshold = spectrogram.mean((1, 2, 3)).max() + 0.1
        return Neck.SIZES

    return replace


@pytest.fixture
def features():
    """Make image levels, and audio without and with mixtures."""

    def make(batch=2, size=64, seed=0):
        generator = torch.Generator().manual_seed(seed)
        image = [
            torch.randn(batch, c, size // s, size // s, generator=generator)
            for c, s in ((32, 4), (64, 8), (128, 16), (256, 32))
        ]
        audio, mixture = (
            [
                torch.randn(batch, 64, t, f, generator=generator)
                for t, f in ((6, 16), (12, 32), (24, 64))
            ]
            for _ in range(2)
        )
        ratio = torch.rand(batch, 96, 256, generator=generator)
        mixed = torch.ones(batch, dtype=torch.bool)
        mixture = MixedAudio(mixture, ratio, mixed)
        return (
            image,
            AudioFeatures(audio),
            MixedAudioFeatures(audio, mixture=mixture),
        )

    return make


@pytest.fixture
def frames():
    """Make data samples with ragged areas of classes, some pixels ignored.

    The first class of a frame is its background; None ignores all of it.
    """

    def make(*classes, size=64, seed=0):
        generator = torch.Generator().manual_seed(seed)
        samples = []
        for own in classes:
            choice = torch.randint(
                len(own or ()) + 1, (8, 8), generator=generator
            )
            choice[0, : len(own or ()) + 1] = torch.arange(len(own or ()) + 1)
            labels = torch.tensor([255, *(own or ())])[choice]
            labels = labels.repeat_interleave(size // 8, 0)
            labels = labels.repeat_interleave(size // 8, 1)
            sample = SegDataSample(
                metainfo=dict(
                    img_shape=(size, size),
                    audio_labels=tuple(k for k in own or () if k),
                )
            )
            sample.gt_sem_seg = PixelData(data=labels[None])
            samples.append(sample)
        return samples

    return make


@pytest.fixture
def shared_points(monkeypatch):
    """Give every mask the same random points, however they are drawn.

    Mask2Former draws them mask by mask, image by image or all at once, which
    would be the only difference between two ways to the same loss.
    """
    rand = torch.rand

    def same(*size, **kwargs):
        if isinstance(size[0], (tuple, list)):
            size = tuple(size[0])
        if len(size) == 1:
            return rand(size, **kwargs)
        state = torch.get_rng_state()
        torch.manual_seed(sum(size[1:]))
        drawn = rand(1, *size[1:], **kwargs).expand(size).clone()
        torch.set_rng_state(state)
        return drawn

    monkeypatch.setattr(torch, 'rand', same)
