from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmcpm.models.decode_heads.avsegformer_star_head import gated_mean
from mmcpm.structures import AudioFeatures

CONFIGS = Path(__file__).resolve().parents[3] / 'configs'


@pytest.fixture
def head():
    init_default_scope('mmseg')
    path = CONFIGS / '_base_/models/avsegformer_star_r18_tiny.py'
    cfg = Config.fromfile(path).model.decode_head
    cfg.train_cfg.num_points = 64
    torch.manual_seed(0)
    head = MODELS.build(cfg)
    head.init_weights()
    return head.eval()


@pytest.fixture
def inputs(features):
    """Image levels and embeddings of sounds."""

    def make(batch=2):
        image, _, _ = features(batch)
        embedding = torch.randn(
            batch, 128, generator=torch.Generator().manual_seed(1)
        )
        return image, AudioFeatures([], embedding)

    return make


@torch.no_grad()
def test_the_gate_in_the_mask_embedding_is_a_gate_on_the_map(head, inputs):
    """Two ways to the same masks, for predictions and attention masks."""
    head = head.double()
    image, audio = inputs()
    image = [x.double() for x in image]
    audio.embedding = audio.embedding.double()
    classes, masks = head(image, audio)
    encoded = head.encode_audio(audio)
    pixels = head.forward_pixel_decoder(image)
    gate = head.channel_gate(encoded.token, pixels.mask_feature)
    assert gate.std() > 0.01
    # The map itself is gated, and the mask embeddings are not.
    gated = pixels._replace(
        mask_feature=pixels.mask_feature * gate[..., None, None],
        channel_gate=torch.ones_like(gate),
    )
    _, query_pos = head.init_queries(2)
    expected = head.decode(encoded.query, query_pos, gated)
    torch.testing.assert_close(
        torch.stack(classes), expected.class_scores, atol=1e-6, rtol=1e-5
    )
    torch.testing.assert_close(
        torch.stack(masks),
        torch.einsum(
            'lbnc,bchw->lbnhw', expected.mask_embedding, gated.mask_feature
        ),
        atol=1e-5,
        rtol=1e-5,
    )
    mean = gated.mask_feature.mean(1, keepdim=True)
    torch.testing.assert_close(
        gated_mean(pixels._replace(channel_gate=gate)), mean
    )


@torch.no_grad()
def test_the_sound_decides(head, inputs):
    image, audio = inputs()
    scores = [
        head.predict(image, head.encode_audio(sound), (64, 64)).scores
        for sound in (audio, AudioFeatures([], audio.embedding.flip(0)))
    ]
    assert scores[0].shape == (2, 9, 64, 64)
    assert (scores[0] - scores[1]).abs().max() > 1e-3


def test_losses(head, inputs, frames):
    head.train()
    # What begins with zeros would hide what comes before it.
    for parameter in head.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    image, audio = inputs(3)
    samples = frames((0, 1), (0, 2), None)
    samples[2].set_metainfo(dict(labeled=False))
    losses = head.loss(image, audio, samples)
    names = {n.rpartition('.')[2] for n in losses}
    assert names == {'loss_cls', 'loss_mask', 'loss_dice', 'loss_mix'}
    # Prediction 0 follows the sound, three the layers of the image.
    assert len(losses) == 4 * 3 + 1
    total = sum(losses.values())
    assert total > 0
    total.backward()
    unused = [
        name
        for name, p in head.named_parameters()
        if p.grad is None or not p.grad.any()
    ]
    assert unused == []


def test_mix_loss_by_hand(head, inputs, frames):
    image, audio = inputs()
    samples = frames((0, 1), (0, 2))
    with torch.no_grad():
        losses = head.loss(image, audio, samples)
        encoded = head.encode_audio(audio)
        feature = head.forward_pixel_decoder(image).mask_feature
        gate = head.channel_gate(encoded.token, feature)
        mean = (feature * gate[..., None, None]).mean(1, keepdim=True)
        p = torch.nn.functional.interpolate(
            mean, (64, 64), mode='bilinear'
        ).sigmoid()[:, 0]
        labels = torch.cat([s.gt_sem_seg.data for s in samples])
        p, g = p * (labels != 255), ((labels > 0) & (labels != 255)).float()
        terms = 1 - 2 * (p * g).sum((1, 2)) / (
            (p**2).sum((1, 2)) + (g**2).sum((1, 2)) + 0.002
        )
    torch.testing.assert_close(losses['loss_mix'], 0.1 * terms.mean())


def test_a_batch_without_labels_teaches_nothing(head, inputs, frames):
    head.train()
    image, audio = inputs(1)
    (sample,) = frames((0, 1))
    sample.set_metainfo(dict(labeled=False))
    losses = head.loss(image, audio, [sample])
    total = sum(losses.values())
    total.backward()
    assert total == 0
    assert all(p.grad is not None for p in head.parameters())


def test_an_audio_backbone_without_embedding_is_refused(head, inputs):
    image, _ = inputs()
    with pytest.raises(ValueError, match='AVSegFormerStarHead.*gives none'):
        head(image, AudioFeatures([]))
