"""Small CPM heads of any combination, and steps to record."""

import copy

import pytest
import torch
from mmseg.registry import MODELS

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
        centers = torch.randn(CLASSES + 1, 64, generator=generator)
        labels = torch.arange(CLASSES + 1).repeat(10)
        noise = torch.randn(len(labels), 64, generator=generator)
        head.mixtures.enqueue(centers[labels] + 0.5 * noise, labels)
        head.mixtures.update()
        assert head.mixtures.ready(torch.arange(CLASSES)).all()
        return head

    return taught


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

    def run(head, image, audio, samples, stop=True):
        recorded = []
        decode = head.decode

        def spy(*args):
            recorded.append((args, decode(*args)))
            if stop:
                raise Recorded
            return recorded[-1][1]

        head.decode = spy
        try:
            head.loss(image, audio, samples)
        except Recorded:
            pass
        finally:
            del head.decode
        ((args, predictions),) = recorded
        return args, predictions

    return run
