"""Small CPM heads of any combination, and steps to record."""

import copy

import pytest
import torch
from mmseg.registry import MODELS

from mmcpm.models.audio.mixing import MixedAudio

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
        head.cls_embed.enqueue(centres[labels] + 0.5 * noise, labels)
        head.cls_embed.update()
        assert head.cls_embed.ready(torch.arange(CLASSES)).all()
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
