"""Small CPM heads of any combination, and steps to record."""

import copy

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmcpm.models.utils.mixing import MixedAudio

CLASSES = 9
PARTS = ('classifier', 'prompts', 'loss_vcp', 'loss_acp', 'loss_pcl')


@pytest.fixture
def build(cpm_cfg):
    """Build a head with some of the parts; without mixtures a table."""

    def make(parts=PARTS, cfg=None, **changes):
        cfg = copy.deepcopy(cfg or cpm_cfg.decode_head)
        for part in PARTS:
            if part not in parts:
                cfg[part] = None
        if parts and 'classifier' not in parts:
            cfg.prompts.source = 'table'
        cfg.update(changes)
        torch.manual_seed(0)
        head = MODELS.build(cfg)
        head.init_weights()
        return head

    return make


@pytest.fixture
def teach():
    """Let the mixtures know every class, so that prompts are ready."""

    def taught(head, seed=0):
        generator = torch.Generator().manual_seed(seed)
        centres = torch.randn(CLASSES + 1, 64, generator=generator)
        labels = torch.arange(CLASSES + 1).repeat(10)
        noise = torch.randn(len(labels), 64, generator=generator)
        head.mixtures.enqueue(centres[labels] + 0.5 * noise, labels)
        head.mixtures.update()
        assert head.mixtures.ready(torch.arange(CLASSES)).all()
        return head

    return taught


@pytest.fixture
def features():
    """Make image levels, audio levels and a mixture of two frames."""

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
        return image, audio, MixedAudio(mixture, ratio, mixed)

    return make


@pytest.fixture
def samples_of(make_batch):
    """Make data samples with labels of their own each."""

    def make(*labels):
        return [
            make_batch(batch_size=1, labels=own)['data_samples'][0]
            for own in labels
        ]

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


class Recorded(Exception):
    """Ends a step when all that is wanted is known."""


@pytest.fixture
def forward():
    """Tell what queries and prompts predict in a training step."""

    def run(head, image, audio, mixed, samples, stop=True):
        recorded = []
        decode = head.decode

        def spy(*args):
            recorded.append((args, decode(*args)))
            if stop:
                raise Recorded
            return recorded[-1][1]

        head.decode = spy
        try:
            head.loss(image, audio, samples, mixed)
        except Recorded:
            pass
        finally:
            del head.decode
        ((args, predictions),) = recorded
        return args, predictions

    return run
