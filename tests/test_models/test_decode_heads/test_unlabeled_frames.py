"""Frames without a label among others, as ClipDataset gives them."""

import copy
from dataclasses import replace

import pytest
import torch
from mmseg.registry import MODELS


def first_only(audio):
    """Features of the first of two frames."""
    kept = {'levels': [level[:1] for level in audio.levels]}
    if getattr(audio, 'mixture', None) is not None:
        levels, ratio, mixed, _ = audio.mixture
        kept['mixture'] = audio.mixture._replace(
            levels=[level[:1] for level in levels],
            ratio=ratio[:1],
            mixed=mixed[:1],
        )
    return replace(audio, **kept)


@pytest.mark.parametrize('name', ['tiny_cfg', 'cpm_cfg'])
@pytest.mark.parametrize(
    'flags', [dict(labeled=False), dict(frame_valid=False, labeled=False)]
)
def test_they_enter_no_loss(request, features, make_batch, name, flags):
    """The losses are those of a batch without them."""
    head = MODELS.build(request.getfixturevalue(name).decode_head)
    image, audio, mixed = features()
    audio = audio if name == 'tiny_cfg' else mixed
    samples = make_batch()['data_samples']
    samples[1].set_metainfo(flags)
    del samples[1].audio_labels
    samples[1].gt_sem_seg.data.fill_(255)
    twin = copy.deepcopy(head)
    torch.manual_seed(0)
    losses = head.loss(image, audio, samples)
    torch.manual_seed(0)
    expected = twin.loss(
        [level[:1] for level in image], first_only(audio), samples[:1]
    )
    assert losses.keys() == expected.keys() and len(losses) > 3
    for key, value in expected.items():
        torch.testing.assert_close(losses[key], value, msg=key)


@pytest.mark.parametrize('name', ['tiny_cfg', 'cpm_cfg'])
def test_a_batch_without_labels_teaches_nothing(
    request, features, make_batch, name
):
    """It reaches the parameters all the same, as other ranks do."""
    head = MODELS.build(request.getfixturevalue(name).decode_head)
    image, audio, mixed = features()
    samples = make_batch()['data_samples']
    for sample in samples:
        sample.set_metainfo(dict(labeled=False, audio_labels=()))
        sample.gt_sem_seg.data.fill_(255)
    losses = head.loss(image, audio if name == 'tiny_cfg' else mixed, samples)
    total = sum(value for key, value in losses.items() if 'loss' in key)
    total.backward()
    assert float(total.detach()) == 0.0
    gradients = [p.grad for p in head.mask_embed.parameters()]
    assert all(grad is not None and not grad.any() for grad in gradients)
