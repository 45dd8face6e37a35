import copy

import pytest
import torch
from mmseg.registry import MODELS

from mmcpm.models.decode_heads.combo_head import as_coded_sources
from mmcpm.models.utils.semantic_inference import semantic_inference
from mmcpm.structures import AudioFeatures


@pytest.fixture
def cfg(combo_cfg):
    return combo_cfg.decode_head


@pytest.fixture
def head(cfg):
    torch.manual_seed(0)
    head = MODELS.build(cfg)
    head.init_weights()
    for scale in (head.fusion.visual_scale, head.fusion.audio_scale):
        torch.nn.init.normal_(scale)
    return head.eval()


@pytest.fixture
def clip(features):
    """Make image levels and sounds of frames."""

    def make(batch, seed=0, clip_length=1, valid=None):
        image, _, _ = features(batch, seed=seed)
        generator = torch.Generator().manual_seed(seed + 100)
        embedding = torch.rand(batch, 128, generator=generator)
        return image, AudioFeatures([], embedding, clip_length, valid)

    return make


def unlabeled(samples, *places, **meta):
    """Take the labels of some samples away."""
    for place in places:
        samples[place].gt_sem_seg.data.fill_(255)
        samples[place].set_metainfo(meta or dict(labeled=False))
    return samples


def test_as_coded_is_a_reshape_of_repeated_sounds():
    """A sound per frame, repeated for all queries, then reshaped."""
    frames, queries = 5, 100
    sounds = torch.arange(frames)[:, None].repeat(1, queries)
    expected = sounds.reshape(queries, frames).T
    found = as_coded_sources(torch.ones(frames, dtype=torch.bool), queries)
    assert torch.equal(found, expected)
    # Queries 0 to 19 of every frame get the sound of frame 0, and so on.
    assert found[0, :20].unique().tolist() == [0]
    assert found[4, 80:].unique().tolist() == [4]


def test_padding_has_no_part_in_the_reshape():
    valid = torch.tensor([True, True, False, True])
    found = as_coded_sources(valid, 6)
    real = as_coded_sources(torch.ones(3, dtype=torch.bool), 6)
    assert torch.equal(found[valid], torch.tensor([0, 1, 3])[real])
    assert found[2].tolist() == [2] * 6


def test_frames_do_not_depend_on_each_other(head, clip):
    image, audio = clip(3)
    both = head(image, audio)
    alone = head(
        [level[1:2] for level in image],
        AudioFeatures([], audio.embedding[1:2]),
    )
    torch.testing.assert_close(
        [part[1:2] for outputs in both for part in outputs],
        [part for outputs in alone for part in outputs],
        rtol=1e-4,
        atol=1e-4,
    )


def test_published_broadcast_mixes_the_sounds_of_a_clip(cfg, head, clip):
    image, audio = clip(3)
    own = head(image, audio)
    head.audio_broadcast = 'as_coded'
    mixed = head(image, audio)
    # Query 0 gets the sound of frame 0 everywhere.
    torch.testing.assert_close(own[0][0][0, 0], mixed[0][0][0, 0])
    assert (own[0][0][2, 0] - mixed[0][0][2, 0]).abs().max() > 1e-3
    cfg.audio_broadcast = 'all'
    with pytest.raises(ValueError, match='audio_broadcast must be one of'):
        MODELS.build(cfg)


def test_masks_are_products_with_the_fused_feature(head, clip):
    image, audio = clip(2)
    pixels, _ = head._fuse(image, audio)
    plain = head.forward_pixel_decoder(image)
    fused, _ = head.fusion(plain.mask_feature, audio.embedding)
    torch.testing.assert_close(pixels.mask_feature, fused)
    # What the decoder attends to is not fused.
    torch.testing.assert_close(pixels.keys, plain.keys)
    classes, masks = head(image, audio)
    prediction = head.predict(image, head.encode_audio(audio), (40, 48))
    expected = semantic_inference(classes[-1], masks[-1], (40, 48))
    torch.testing.assert_close(prediction.scores, expected)
    assert prediction.query_classes.shape == (2, 20)


@pytest.mark.parametrize('meta', [{}, dict(frame_valid=False)])
def test_only_labeled_frames_are_matched(
    head, clip, frames, shared_points, meta
):
    """The same as a batch that holds nothing else, but for the pairs."""
    head.loss_frame = None
    image, audio = clip(4, clip_length=2)
    classes = ((0, 1), (0, 2), (0, 3), (0, 4))
    samples = unlabeled(frames(*classes), 1, 3, **meta)
    found = head.loss(image, audio, samples)
    targets = head.criterion.read_targets(frames(*classes)[::2])
    alone = head._set_losses(
        *head._decode_queries(
            [level[::2] for level in image],
            AudioFeatures([], audio.embedding[::2]),
        ),
        targets,
    )
    assert found.keys() == alone.keys()
    for name, value in alone.items():
        torch.testing.assert_close(
            found[name], value, rtol=1e-4, atol=1e-5, msg=name
        )


def test_pairs_are_compared_but_for_the_last_prediction(head, clip, frames):
    image, audio = clip(4, clip_length=2)
    losses = head.loss(image, audio, frames(*[(0, 1)] * 4))
    _, masks = head(image, audio)
    expected = 0.0
    for mask in masks[:-1]:
        pair = mask.unflatten(0, (2, 2)).flatten(2)
        distance = 1 - torch.cosine_similarity(pair[:, 0], pair[:, 1], dim=-1)
        expected += 10 * (distance * (-distance).exp()).mean()
    torch.testing.assert_close(
        losses['loss_frame'], expected, rtol=1e-4, atol=1e-5
    )


def test_frames_one_by_one_have_no_pairs(head, clip, frames):
    image, audio = clip(2)
    losses = head.loss(image, audio, frames((0, 1), (0, 2)))
    assert 'loss_frame' not in losses


@pytest.mark.parametrize('broadcast', ['frame', 'as_coded'])
def test_padded_frames_leave_no_trace(
    head, clip, frames, shared_points, broadcast
):
    head.audio_broadcast = broadcast
    valid = torch.tensor([True, True, True, True, False, False])
    found = []
    for seed in (1, 2):
        image, audio = clip(6, clip_length=3, valid=valid)
        other, sounds = clip(6, seed=seed)
        for level, strange in zip(image, other, strict=True):
            level[~valid] = strange[~valid]
        audio.embedding[~valid] = sounds.embedding[~valid]
        samples = unlabeled(frames(*[(0, 1)] * 6), 4, 5, frame_valid=False)
        found.append(head.loss(image, audio, samples))
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, msg=name)


def test_without_any_label_nothing_is_taught_but_the_graph_is_whole(
    head, clip, frames
):
    head.loss_frame = None
    image, audio = clip(2)
    samples = unlabeled(frames((0, 1), (0, 1)), 0, 1)
    losses = head.loss(image, audio, samples)
    total = sum(losses.values())
    assert total == 0
    total.backward()
    # The queries see the image by masks without a gradient in any case.
    assert head.fusion.attention.audio_proj.weight.grad is not None
    assert not any(
        p.grad.any() for p in head.parameters() if p.grad is not None
    )


def test_every_parameter_is_taught(cfg, clip, frames):
    torch.manual_seed(0)
    head = MODELS.build(copy.deepcopy(cfg))
    head.init_weights()
    image, audio = clip(2, clip_length=2)
    sum(head.loss(image, audio, frames((0, 1), (0, 2))).values()).backward()
    assert [k for k, p in head.named_parameters() if p.grad is None] == []


def test_embedding_is_asked_for(head, clip):
    image, audio = clip(1)
    audio.embedding = None
    with pytest.raises(ValueError, match='with_embedding=True'):
        head.encode_audio(audio)
