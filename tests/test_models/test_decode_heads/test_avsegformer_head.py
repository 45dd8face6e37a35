from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmcv.ops.multi_scale_deform_attn import (
    multi_scale_deformable_attn_pytorch,
)
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmcpm.models.decode_heads.avsegformer_head import frame_losses
from mmcpm.structures import AudioFeatures

CONFIGS = Path(__file__).resolve().parents[3] / 'configs'
BINARY = dict(type='CrossEntropyLoss', use_sigmoid=True, avg_non_ignore=True)


@pytest.fixture
def head_cfg():
    init_default_scope('mmseg')
    path = CONFIGS / '_base_/models/avsegformer_r18_tiny.py'
    return Config.fromfile(path).model.decode_head


@pytest.fixture
def make_head(head_cfg):
    def make(**changes):
        torch.manual_seed(0)
        head = MODELS.build(dict(head_cfg, **changes))
        head.init_weights()
        return head.eval()

    return make


@pytest.fixture
def inputs(features):
    """Image levels and embeddings of sounds."""

    def make(batch=2, size=64):
        image, audio, _ = features(batch, size)
        audio.embedding = torch.randn(
            batch, 128, generator=torch.Generator().manual_seed(1)
        )
        audio.levels = []
        return image, audio

    return make


def slow_attention(module, query, key):
    """PyTorch's own attention, with the weights of ours."""
    plain = torch.nn.MultiheadAttention(
        module.embed_dims, module.num_heads, batch_first=True
    ).double()
    plain.load_state_dict(module.attn.state_dict())
    return plain(query, key, key)[0]


def slow_decode(head, image, audio):
    """Logits by the description of the method, without its modules."""
    pixels = head.pixel_decoder
    token = F.linear(
        audio.embedding, head.audio_proj.weight, head.audio_proj.bias
    )[:, None]
    query = head.query_generator(
        head.query_feat.weight.expand(len(token), -1, -1),
        token.expand(-1, 2, -1),  # Two equal tokens: no short cut.
    )
    query = query + head.query_embed.weight
    projected = [
        F.group_norm(
            F.conv2d(x, conv.conv.weight, conv.conv.bias),
            8,
            conv.gn.weight,
            conv.gn.bias,
        )
        for conv, x in zip(pixels.input_convs, image, strict=True)
    ]
    # Encoder: rows and columns count from 1, and are not normalized.
    tokens, positions, centers, shapes = [], [], [], []
    for level, x in enumerate(projected[1:]):
        height, width = x.shape[2:]
        shapes.append((height, width))
        steps = torch.arange(32).double()
        frequency = 10000 ** (2 * (steps // 2) / 32)
        for row in range(height):
            for column in range(width):
                waves = []
                for place in (row + 1, column + 1):
                    angle = place / frequency
                    even = torch.where(
                        steps % 2 == 0, angle.sin(), angle.cos()
                    )
                    waves.append(even)
                positions.append(
                    torch.cat(waves) + pixels.level_embed.weight[level]
                )
                centers.append([(column + 0.5) / width, (row + 0.5) / height])
                tokens.append(x[:, :, row, column])
    memory = torch.stack(tokens, 1)
    position, center = torch.stack(positions), torch.tensor(centers).double()
    extents = torch.tensor([[w, h] for h, w in shapes]).double()
    for layer in pixels.encoder.layers:
        attn = layer.self_attn
        value = attn.value_proj(memory).unflatten(-1, (8, -1))
        asked = memory + position
        offsets = attn.sampling_offsets(asked).unflatten(-1, (8, 3, 4, 2))
        where = center[None, :, None, None, None] + offsets / extents[:, None]
        weights = attn.attention_weights(asked).unflatten(-1, (8, 12))
        weights = weights.softmax(-1).unflatten(-1, (3, 4))
        sampled = multi_scale_deformable_attn_pytorch(
            value, torch.tensor(shapes), where, weights
        )
        memory = layer.norms[0](memory + attn.output_proj(sampled))
        first, second = layer.ffn.layers[0][0], layer.ffn.layers[1]
        memory = layer.norms[1](memory + second(F.gelu(first(memory))))
    height, width = shapes[0]
    fine = memory[:, : height * width].mT.unflatten(2, (height, width))
    fine = F.interpolate(fine, projected[0].shape[2:], mode='bilinear')
    lateral = pixels.lateral_conv
    fine = fine + lateral.gn(lateral.conv(projected[0]))
    feature = pixels.output_conv.gn(pixels.output_conv.conv(fine)).relu()
    # Decoder: no positions, all pixels.
    for layer in head.decoder:
        own = slow_attention(layer.self_attn, query, query)
        query = layer.norms[0](query + own)
        query = layer.norms[1](
            query + slow_attention(layer.cross_attn, query, memory)
        )
        first, second = layer.ffn.layers[0][0], layer.ffn.layers[1]
        query = layer.norms[2](query + second(F.gelu(first(query))))
    feature = feature * head.channel_gate(token, feature)[..., None, None]
    mixed = torch.einsum('bnc,bchw->bnhw', query, feature)
    for part in head.mask_mlp[:2]:
        mixed = part.conv(mixed).relu()
    mixed = feature + head.mask_mlp[2](mixed)
    mixed = head.conv_seg[0](mixed)
    mixed = F.interpolate(mixed, scale_factor=4, mode='bilinear')
    return head.conv_seg[4](head.conv_seg[2](mixed).relu()), feature


@torch.no_grad()
def test_the_whole_head_by_its_description(make_head, inputs):
    head = make_head().double()
    image, audio = inputs()
    image = [x.double() for x in image]
    audio.embedding = audio.embedding.double()
    found = head.decode(image, head.encode_audio(audio))
    for ours, expected in zip(
        found, slow_decode(head, image, audio), strict=True
    ):
        # Reference points are float32.
        torch.testing.assert_close(ours, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize('classes', [2, 9])
@torch.no_grad()
def test_predictions_of_single_frames(make_head, inputs, classes):
    """A frame alone gives what it gives in a batch, at any size."""
    head = make_head(num_classes=classes)
    image, audio = inputs(2)
    encoded = head.encode_audio(audio)
    both = head.predict(image, encoded, (50, 70)).scores
    assert both.shape == (2, classes, 50, 70)
    alone = head.predict(
        [x[1:] for x in image],
        head.encode_audio(AudioFeatures([], audio.embedding[1:])),
        (50, 70),
    ).scores
    torch.testing.assert_close(alone[0], both[1], atol=1e-5, rtol=1e-4)
    if classes == 2:
        logits = head(image, audio)
        assert logits.shape[:2] == (2, 1)
        probability = F.interpolate(logits, (50, 70), mode='bilinear')
        torch.testing.assert_close(
            both.softmax(1)[:, 1:], probability.sigmoid()
        )


def test_only_labeled_frames_enter_the_losses(make_head, inputs, frames):
    head = make_head()
    image, audio = inputs(4)
    samples = frames((0, 1), (0, 2), (0, 3), None)
    samples[1].set_metainfo(dict(labeled=False))
    samples[3].set_metainfo(dict(labeled=False, frame_valid=False))
    losses = head.loss(image, audio, samples)
    kept = [0, 2]
    expected = head.loss(
        [x[kept] for x in image],
        AudioFeatures([], audio.embedding[kept]),
        [samples[k] for k in kept],
    )
    assert set(losses) == {'loss_decode', 'loss_mix'}
    for name, value in expected.items():
        assert value > 0
        torch.testing.assert_close(losses[name], value)


def test_a_batch_without_labels_reaches_all_parameters(
    make_head, inputs, frames
):
    head = make_head().train()
    image, audio = inputs(2)
    samples = frames((0, 1), None)
    for sample in samples:
        sample.set_metainfo(dict(labeled=False))
    losses = head.loss(image, audio, samples)
    sum(losses.values()).backward()
    assert [float(v) for v in losses.values()] == [0.0, 0.0]
    assert all(p.grad is not None for p in head.parameters())
    assert not any(p.grad.any() for p in head.parameters())


def normal(seed, shape):
    """Standard normal values that any NumPy gives."""
    values = np.random.RandomState(seed).standard_normal(shape)
    return torch.from_numpy(values.astype(np.float32))


@pytest.mark.parametrize(
    ('subset', 'kind', 'expected'),
    [
        ('s4', 'dice', (0.3726080358028412, 0.03334631025791168)),
        ('s4', 'bce', (0.8065385818481445, 0.06932733207941055)),
        ('ms3', 'dice', (0.36889559030532837, 0.03345396742224693)),
        ('ms3', 'bce', (0.8008564114570618, 0.06933934986591339)),
    ],
)
def test_losses_of_the_original_with_two_classes(subset, kind, expected):
    """S4 has a label for the first frame of each clip of five."""
    init_default_scope('mmseg')
    loss = BINARY if kind == 'bce' else dict(type='ForegroundDiceLoss')
    loss, mix = MODELS.build(loss), MODELS.build(dict(loss, loss_weight=0.1))
    pred, feature = (
        normal(301, (10, 1, 64, 64)),
        normal(370, (10, 256, 16, 16)),
    )
    if subset == 's4':
        labels = normal(330, (2, 1, 1, 64, 64))[:, 0, 0]
        pred, feature = pred[::5], feature[::5]
    else:
        labels = normal(331, (10, 1, 64, 64))[:, 0]
    losses = frame_losses(pred, feature, (labels > 0).long(), loss, mix)
    found = [float(losses[name]) for name in ('loss_decode', 'loss_mix')]
    assert found == pytest.approx(expected, rel=1e-5)


def test_losses_of_the_original_with_71_classes(make_head):
    """The first of two clips of ten has one label."""
    head = make_head()
    pred, feature = normal(340, (20, 71, 32, 32)), normal(371, (20, 256, 8, 8))
    pred[:, 0] += 1.5
    labels = np.random.RandomState(341).randint(0, 71, (20, 32, 32))
    kept = [0, *range(10, 20)]
    losses = frame_losses(
        pred[kept],
        feature[kept],
        torch.from_numpy(labels)[kept].long(),
        head.loss_decode,
        head.loss_mix,
    )
    found = [float(losses[name]) for name in ('loss_decode', 'loss_mix')]
    expected = (4.77707052230835, 0.020221970975399017)
    assert found == pytest.approx(expected, rel=1e-5)


def test_an_audio_backbone_without_embedding_is_refused(make_head, inputs):
    head = make_head()
    _, audio = inputs()
    with pytest.raises(ValueError, match='128 values.*gives none.*embedding'):
        head.encode_audio(AudioFeatures([]))
    audio.embedding = audio.embedding[:, :64]
    with pytest.raises(ValueError, match='128 values.*gives 64 values'):
        head.encode_audio(audio)


def test_classes_out_of_range_are_refused(make_head, inputs, frames):
    head = make_head()
    with pytest.raises(ValueError, match=r'classes \[9\]'):
        head.loss(*inputs(1), frames((0, 9)))


def test_levels_that_the_encoder_does_not_have(make_head):
    with pytest.raises(ValueError, match='num_levels=2'):
        make_head(in_channels=[32, 64, 128])
