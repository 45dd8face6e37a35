"""CAVP's head: one encoding of the image, two sounds."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmcpm.models.utils.sound_pairs import PairedAudioFeatures, ShuffledAudio
from mmcpm.structures import AudioFeatures

CONFIGS = Path(__file__).resolve().parents[3] / 'configs/_base_/models'


@pytest.fixture
def head():
    init_default_scope('mmseg')
    cfg = Config.fromfile(CONFIGS / 'cavp_r18_tiny.py').model.decode_head
    torch.manual_seed(0)
    return MODELS.build(cfg)


@pytest.fixture
def levels():
    def make(batch=2, size=64):
        torch.manual_seed(1)
        return [
            torch.randn(batch, c, size // s, size // s)
            for c, s in ((32, 4), (64, 8), (128, 16), (256, 16))
        ]

    return make


def paired(batch=2, matches=(True, False)):
    torch.manual_seed(2)
    own, other = torch.randn(2, batch, 64, requires_grad=True).unbind(0)
    return PairedAudioFeatures(
        [], own, shuffled=ShuffledAudio(other, torch.tensor(matches))
    )


def test_prediction_step_by_step(head, levels):
    """Against the layers in CAVP's order."""
    head.eval()
    image, sound = levels(), torch.randn(2, 64)
    with torch.no_grad():
        low = head.reduce(image[0])
        context = F.interpolate(
            head.aspp(image[-1]), (16, 16), mode='bilinear', align_corners=True
        )
        pixels = torch.cat([context, low], 1).permute(0, 2, 3, 1)
        hidden = F.gelu(head.visual_projector[0](pixels))
        pixels = head.visual_projector[2](hidden).reshape(2, 256, 64)
        fused = head.fusion(
            head.fusion.encode_image(pixels), head.fusion.encode_audio(sound)
        )
        fused = fused.reshape(2, 16, 16, 64).permute(0, 3, 1, 2)
        logits = head.classifier(head.last_conv(fused))
        expected = F.interpolate(logits, (50, 64), mode='bilinear')
        audio = head.encode_audio(AudioFeatures([], sound))
        found = head.predict(image, audio, (50, 64)).scores
    torch.testing.assert_close(found, expected)


def test_losses(head, levels, frames):
    samples = frames((0, 3), (0, 5))
    labels = torch.cat([s.gt_sem_seg.data for s in samples])
    recorded = {}

    def contrast(own, other, own_labels, other_labels, ignore_index):
        recorded.update(own=own, other=other, labels=other_labels)
        assert torch.equal(own_labels, labels)
        return own.sum() * 0

    head.loss_contrast.forward = contrast
    head.eval()
    image, audio = levels(), paired()
    losses = head.loss(image, audio, samples)
    assert set(losses) == {'loss_decode', 'loss_contrast'}
    scores = head.predict(image, head.encode_audio(audio), (64, 64)).scores
    counted = labels != 255
    nats = -scores.log_softmax(1).gather(
        1, labels.masked_fill(~counted, 0)[:, None]
    )[:, 0]
    torch.testing.assert_close(losses['loss_decode'], nats[counted].mean())
    # Each map is that of its own sound.
    pixels = head.encode_image(image)
    for name, sound in (
        ('own', audio.embedding),
        ('other', audio.shuffled.embedding),
    ):
        expected = head.fuse(pixels, head.fusion.encode_audio(sound))
        torch.testing.assert_close(recorded[name], expected)
    # Where the sound does not match, nothing sounds; what is ignored stays.
    assert torch.equal(recorded['labels'][0], labels[0])
    assert set(recorded['labels'][1].unique().tolist()) == {0, 255}
    assert torch.equal(recorded['labels'][1] == 255, labels[1] == 255)


def test_the_image_is_encoded_once(head, levels, frames):
    calls = []
    head.aspp.register_forward_hook(lambda *_: calls.append('aspp'))
    head.visual_projector.register_forward_hook(lambda *_: calls.append('p'))
    head.loss(levels(), paired(), frames((0, 3), (0, 5)))
    assert calls == ['aspp', 'p']


def test_every_parameter_and_both_sounds_learn(head, levels, frames):
    audio = paired()
    audio.embedding.retain_grad()
    audio.shuffled.embedding.retain_grad()
    losses = head.loss(levels(), audio, frames((0, 3), (0, 5)))
    sum(losses.values()).backward()
    assert all(p.grad.any() for p in head.parameters())
    assert audio.embedding.grad.any()
    assert audio.shuffled.embedding.grad.any()


@pytest.mark.parametrize('classes', [(0, 3), None])
def test_a_batch_of_one_trains(head, levels, frames, classes):
    losses = head.loss(levels(1), paired(1, (True,)), frames(classes))
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in head.parameters())


def test_frames_without_a_label_enter_no_loss(head, levels, frames):
    head.eval()
    image = levels()
    both = head.loss(image, paired(), frames((0, 3), None))['loss_decode']
    audio = paired()
    alone = head.loss(
        [level[:1] for level in image],
        PairedAudioFeatures(
            [],
            audio.embedding[:1],
            shuffled=ShuffledAudio(
                audio.shuffled.embedding[:1], audio.shuffled.matches[:1]
            ),
        ),
        frames((0, 3)),
    )['loss_decode']
    torch.testing.assert_close(both, alone)


@pytest.mark.parametrize('embedding', [None, torch.zeros(2, 128)])
def test_an_embedding_of_its_size_is_needed(head, embedding):
    with pytest.raises(ValueError, match='64 values, but got (none|128)'):
        head.encode_audio(AudioFeatures([], embedding))


def test_shuffled_sounds_are_needed(head, levels, frames):
    audio = AudioFeatures([], torch.randn(2, 64))
    with pytest.raises(ValueError, match='CAVPEncoderDecoder'):
        head.loss(levels(), audio, frames((0, 3), (0, 5)))
