import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmcpm.models import TPAVIHead
from mmcpm.structures.audio_features import AudioFeatures

WIDTHS = (4, 6, 8, 10)
MATCHING = dict(type='AudioVisualMatchingLoss', mask='soft', reduction='sum')


def make_head(num_classes=2, **kwargs):
    single = kwargs.setdefault('single_logit', num_classes == 2)
    settings = dict(
        loss_decode=dict(
            type='CrossEntropyLoss', use_sigmoid=single, avg_non_ignore=True
        ),
        audio_channels=5,
        channels=16,
    )
    torch.manual_seed(0)
    head = TPAVIHead(
        in_channels=WIDTHS, num_classes=num_classes, **{**settings, **kwargs}
    )
    for attention in head.attentions:
        # A new block adds nothing.
        torch.nn.init.ones_(attention.bn.weight)
    return head.eval()


def make_inputs(batch, clip_length=1, valid=None, size=32, seed=1):
    generator = torch.Generator().manual_seed(seed)
    features = [
        torch.randn(batch, width, size // s, size // s, generator=generator)
        for width, s in zip(WIDTHS, (1, 2, 4, 8), strict=True)
    ]
    embedding = torch.rand(batch, 5, generator=generator)
    if valid is not None:
        valid = torch.tensor(valid).bool()
    return features, AudioFeatures([], embedding, clip_length, valid)


def make_samples(labels, **flags):
    samples = []
    for index, label in enumerate(labels):
        sample = SegDataSample(gt_sem_seg=PixelData(data=label[None]))
        sample.set_metainfo({k: v[index] for k, v in flags.items()})
        samples.append(sample)
    return samples


def test_scores_of_two_classes_from_one_logit():
    head = make_head()
    features, audio = make_inputs(3)
    scores = head.predict(features, audio, (64, 64)).scores
    assert scores.shape == (3, 2, 64, 64)
    assert not scores[:, 0].any() and scores[:, 1].std() > 0
    logits = head.decode(features, audio).logits
    assert logits.shape == (3, 1, 128, 128)
    assert head(features, audio).shape == (3, 2, 32, 32)


def test_odd_sizes():
    features, audio = make_inputs(2, size=32)
    features = [level[..., 1:, :-1] for level in features]
    assert [tuple(x.shape[-2:]) for x in features][:2] == [(31, 31), (15, 15)]
    scores = make_head(9).predict(features, audio, (123, 99)).scores
    assert scores.shape == (2, 9, 123, 99) and scores.isfinite().all()


def reached(head, batch, clip_length):
    """Frames whose scores a change of the last frame's sound reaches."""
    features, audio = make_inputs(batch, clip_length)
    before = head.predict(features, audio, (32, 32)).scores
    audio.embedding[-1] += 1
    after = head.predict(features, audio, (32, 32)).scores
    return (before != after).flatten(1).any(1).nonzero().flatten().tolist()


@pytest.mark.parametrize(
    ('batch', 'clip_length', 'group_length', 'frames'),
    [
        (2, 1, 5, [1]),
        (10, 5, 5, [5, 6, 7, 8, 9]),
        (10, 10, 5, [5, 6, 7, 8, 9]),
        (10, 10, None, [*range(10)]),
        (6, 3, 5, [3, 4, 5]),
    ],
)
def test_frames_attend_to_those_of_their_group(
    batch, clip_length, group_length, frames
):
    head = make_head(group_length=group_length)
    assert reached(head, batch, clip_length) == frames


def test_content_of_padded_frames_reaches_nothing():
    head = make_head(3, audio_bias=False, loss_matching=MATCHING)
    valid = [1, 1, 0, 1, 1, 1]
    features, audio = make_inputs(6, 3, valid)
    output = head.decode(features, audio)
    assert not output.logits[2].any()
    assert not any(level[2].any() for level in output.visual_maps)
    for level in features:
        level[2] = torch.nan
    audio.embedding[2] = 7
    changed = head.decode(features, audio)
    assert torch.equal(output.logits, changed.logits)


def test_losses_are_those_of_the_labeled_frames():
    head = make_head(loss_matching=MATCHING)
    labels = (torch.randn(6, 64, 64) > 0).long()
    labeled = [True, False, False, True, True, False]
    valid = [True, True, True, True, True, False]
    features, audio = make_inputs(6, 3, valid)
    output = head.decode(features, audio)
    expected, matched = [], []
    for frame in (0, 3, 4):
        logits = torch.nn.functional.interpolate(
            output.logits[frame : frame + 1],
            (64, 64),
            mode='bilinear',
            align_corners=False,
        )
        expected.append(
            torch.nn.functional.binary_cross_entropy_with_logits(
                logits[:, 0], labels[frame : frame + 1].float()
            )
        )
        matched.append(
            head.loss_matching(
                logits,
                [x[frame : frame + 1] for x in output.visual_maps],
                [x[frame : frame + 1] for x in output.audio],
            )
        )
    for frame in (1, 2, 5):
        labels[frame] = 255
    samples = make_samples(labels, labeled=labeled, frame_valid=valid)
    losses = head.loss(features, audio, samples)
    assert sorted(losses) == ['loss_decode', 'loss_matching']
    assert torch.allclose(losses['loss_decode'], sum(expected) / 3, atol=1e-6)
    assert torch.allclose(losses['loss_matching'], sum(matched), atol=1e-5)


def test_ignored_pixels_are_in_no_loss():
    head = make_head(4)
    labels = torch.randint(0, 4, (2, 64, 64))
    labels[:, 10:20] = 255
    features, audio = make_inputs(2)
    first = head.loss(features, audio, make_samples(labels))['loss_decode']
    logits = head.predict(features, audio, (64, 64)).scores
    keep = labels != 255
    expected = torch.nn.functional.cross_entropy(
        logits.movedim(1, -1)[keep], labels[keep]
    )
    assert torch.allclose(first, expected, atol=1e-5)


def test_no_labeled_frame_no_loss():
    head = make_head(loss_matching=MATCHING)
    features, audio = make_inputs(2)
    labels = torch.full((2, 64, 64), 255)
    samples = make_samples(labels, labeled=[False, False])
    losses = head.loss(features, audio, samples)
    assert [value.item() for value in losses.values()] == [0, 0]
    sum(losses.values()).backward()


def test_maps_for_matching_are_rectified_as_coded():
    features, audio = make_inputs(1)
    maps = make_head().decode(features, audio).visual_maps
    plain = make_head(rectified_maps=False).decode(features, audio)
    for found, raw in zip(maps, plain.visual_maps, strict=True):
        assert raw.min() < 0
        assert torch.equal(found, raw.relu())


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match='num_classes=2.*got 9'):
        make_head(9, single_logit=True)
    features, audio = make_inputs(4)
    with pytest.raises(ValueError, match='with_embedding=True'):
        make_head().decode(features, AudioFeatures([]))
    audio.clip_length = 3
    with pytest.raises(ValueError, match='4 frames.*clips of 3'):
        make_head().decode(features, audio)
