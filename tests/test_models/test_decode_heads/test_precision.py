"""The heads in half precision and with logits far beyond the usual."""

import pytest
import torch
from mmseg.registry import MODELS

from mmcpm.models.utils.semantic_inference import semantic_inference


@pytest.fixture
def base_head(tiny_cfg):
    torch.manual_seed(0)
    head = MODELS.build(tiny_cfg.decode_head)
    head.init_weights()
    return head


def exaggerate(head, factor):
    """Scale mask embeddings and mask features; logits by its square."""
    with torch.no_grad():
        for parameter in head.mask_embed[-1].parameters():
            parameter.mul_(factor)
        for parameter in head.pixel_decoder.mask_feature.parameters():
            parameter.mul_(factor)


def check_step(head, losses):
    for name, value in losses.items():
        assert value.dtype == torch.float32, name
        assert value.isfinite().all(), name
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize('factor', [1.0, 1e3])
@pytest.mark.parametrize('amp', [True, False])
def test_losses_of_the_base(base_head, features, frames, factor, amp):
    exaggerate(base_head, factor)
    image, audio, _ = features(3)
    samples = frames((0, 1, 3), (0, 2), None)
    with torch.autocast('cpu', torch.bfloat16, enabled=amp):
        losses = base_head.loss(image, audio, samples)
    check_step(base_head, losses)
    if factor > 1:
        # About a million times what it was.
        assert losses['loss_mask'] > 1e4


@pytest.mark.parametrize('factor', [1.0, 1e3])
@pytest.mark.parametrize('amp', [True, False])
def test_losses_of_cpm(build, teach, features, frames, factor, amp):
    head = teach(build())
    exaggerate(head, factor)
    image, audio, mixed = features(3)
    samples = frames((0, 1, 3), (0, 2), None)
    with torch.autocast('cpu', torch.bfloat16, enabled=amp):
        losses = head.loss(image, mixed, samples)
    check_step(head, losses)
    assert all(b.isfinite().all() for b in head.cls_embed.buffers())


def test_image_features_a_thousand_times_too_large(
    base_head, features, frames
):
    image, audio, _ = features()
    image = [1e3 * level for level in image]
    with torch.autocast('cpu', torch.bfloat16):
        losses = base_head.loss(image, audio, frames((0, 1), (0, 2)))
    check_step(base_head, losses)


def test_losses_in_half_precision_are_those_in_float32(
    base_head, features, frames, shared_points
):
    """Up to what the network itself loses: the losses add nothing."""
    image, audio, _ = features()
    samples = frames((0, 1, 3), (0, 2))
    exact = base_head.loss(image, audio, samples)
    with torch.autocast('cpu', torch.bfloat16):
        losses = base_head.loss(image, audio, samples)
    for name, value in exact.items():
        torch.testing.assert_close(losses[name], value, rtol=0.1, atol=0)


@pytest.mark.parametrize('factor', [1.0, 1e3])
def test_prediction(base_head, features, factor):
    exaggerate(base_head, factor)
    base_head.eval()
    image, audio, _ = features()
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        query = base_head.encode_audio(audio)
        scores = base_head.predict(image, query, (50, 70)).scores
    assert scores.dtype == torch.float32
    assert scores.isfinite().all()
    # A sum over the queries of products of probabilities.
    assert scores.min() >= 0 and scores.max() <= base_head.num_queries


def test_merge_under_autocast():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(1, 30, 6, generator=generator)
    masks = 1e6 * torch.randn(1, 30, 9, 9, generator=generator)
    exact = semantic_inference(scores, masks, (33, 20))
    with torch.autocast('cpu', torch.bfloat16):
        merged = semantic_inference(scores, masks, (33, 20))
    assert merged.isfinite().all()
    torch.testing.assert_close(merged, exact, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    'amp',
    [
        False,
        True,
    ],
)
def test_queries_are_matched_at_the_points_of_the_targets(
    base_head, features, frames, amp
):
    """Both are read at the same place, to a fraction of a pixel.

    The mask feature is a ramp: its logit at a point tells where that was.
    """
    image, audio, _ = features(1, size=512)
    samples = frames((0, 1), size=512)
    seen = []
    encode = base_head.pixel_decoder.forward

    def ramp(levels):
        feature, memories = encode(levels)
        feature = torch.zeros_like(feature)
        feature[:, 0] = torch.arange(128) - 63.5
        return feature, memories

    base_head.pixel_decoder.forward = ramp
    with torch.no_grad():
        last = base_head.mask_embed[-1]
        last.weight.zero_()
        last.bias.zero_()
        last.bias[0] = 1
    base_head.assigner.match = lambda scores, logits, targets: (
        seen.extend(logits) or [[([0, 1], [0, 1])]] * 4
    )
    torch.manual_seed(5)
    with torch.autocast('cpu', torch.bfloat16, enabled=amp):
        base_head.loss(image, audio, samples)
    torch.manual_seed(5)
    x = torch.rand(1, base_head.num_points, 2)[0, :, 0]
    logits = seen[0][0, 0]
    # Near the middle half precision is fine enough for the ramp itself.
    near = (x - 0.5).abs() < 0.1
    assert near.sum() > 5
    position = (logits + 64) / 128
    error = 128 * (position - x)[near].abs()
    assert error.max() < 0.05
