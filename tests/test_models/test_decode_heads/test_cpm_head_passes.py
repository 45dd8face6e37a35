"""Queries and prompts in one pass of CPMHead, and what keeps them apart."""

import pytest
import torch

from mmcpm.models.layers.block_mask import block_mask
from mmcpm.models.utils.mixing import MixedAudioFeatures
from mmcpm.models.utils.query_predictions import PixelDecoderOutput

QUERIES, CLASSES = 20, 9
CCDM = ('classifier',)


@pytest.fixture
def head(build, teach):
    return teach(build())


def rows(predictions, pixels, part):
    """Class scores and masks of some of the rows, all predictions."""
    masks = torch.einsum(
        'lbtc,bchw->lbthw', predictions.mask_embedding, pixels.mask_feature
    )
    return [s[:, part] for s in predictions.class_scores] + [
        m[:, part] for m in masks
    ]


def in_double(head, image):
    """Let the decoders work in float64, on pixels encoded in float32."""
    pixels = head.forward_pixel_decoder(image)
    head.double()
    pixels = PixelDecoderOutput(
        pixels.mask_feature.double().detach(),
        [key.double().detach() for key in pixels.keys],
        [position.double() for position in pixels.positions],
        pixels.sizes,
    )
    head.forward_pixel_decoder = lambda levels: pixels
    return pixels


def doubled(audio, mixture=None):
    """Bring sounds to float64; maybe with the levels of another mixture."""
    levels = (mixture or audio).mixture.levels
    return MixedAudioFeatures(
        [level.double() for level in audio.levels],
        mixture=audio.mixture._replace(levels=[x.double() for x in levels]),
    )


def fix_samples(head, dtype=torch.float32):
    """Always draw the same prompt for a class."""
    generator = torch.Generator().manual_seed(9)
    table = torch.randn(CLASSES, 64, generator=generator).to(dtype)
    head.cls_embed.sample = lambda labels, noise: table[labels.clamp(min=0)]
    return table


LABELS = [
    ((1, 3), (1, 3)),
    ((2,), (2, 4, 5, 6, 7, 8)),
    ((), (1,)),
    ((), ()),
]


@pytest.mark.parametrize('labels', LABELS)
def test_queries_do_not_know_of_prompts(
    head, labels, features, samples_of, forward
):
    """As without prompts, in number, content or padding: float32."""
    image, audio, mixed = features()
    classes, masks = head(image, audio)
    (_, _, pixels, _), predictions = forward(
        head, image, mixed, samples_of(*labels)
    )
    expected = classes + masks
    actual = rows(predictions, pixels, slice(QUERIES))
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-4)
    for mask, plain in zip(actual[len(classes) :], masks, strict=True):
        assert torch.equal(mask > 0, plain > 0)


def test_queries_do_not_know_of_prompts_in_float64(
    head, features, samples_of, forward
):
    image, audio, mixed = features()
    pixels = in_double(head, image)
    expected = sum(head(image, doubled(mixed)), [])
    seen = []
    for seed, labels in enumerate(LABELS):
        torch.manual_seed(seed)
        other = doubled(mixed, mixture=features(seed=seed)[2])
        _, predictions = forward(head, image, other, samples_of(*labels))
        actual = rows(predictions, pixels, slice(QUERIES))
        assert actual[0].dtype == torch.float64
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-6)
        seen.append(predictions.class_scores[-1][1, QUERIES])
    # The prompts themselves did differ.
    assert all((seen[0] - other).abs().max() > 1e-3 for other in seen[1:])


def test_no_gradient_leads_from_queries_to_prompts(
    head, features, samples_of, forward
):
    image, audio, mixed = features()
    for level in (*mixed.levels, *mixed.mixture.levels):
        level.requires_grad_()
    (_, _, pixels, _), predictions = forward(
        head, image, mixed, samples_of((1, 3), (2,))
    )
    queries = rows(predictions, pixels, slice(QUERIES))
    total = sum(t.square().sum() for t in queries)
    watched = [*head.prompts.parameters(), *mixed.mixture.levels]
    gradients = torch.autograd.grad(
        total, [*watched, *audio.levels], allow_unused=True
    )
    for gradient in gradients[: len(watched)]:
        assert gradient is None or (gradient == 0).all()
    assert all(g.abs().sum() > 0 for g in gradients[len(watched) :])


def test_padding_does_not_change_prompts(head, features, samples_of, forward):
    image, audio, mixed = features()
    pixels = in_double(head, image)
    mixed = doubled(mixed)
    table = fix_samples(head, torch.float64)
    outputs = []
    for other in ((2, 5), (2, 4, 5, 6), (2, 4, 5, 6)):
        # Image 0 is padded by 0, 2 and again 2 prompts.
        _, predictions = forward(
            head,
            image,
            mixed,
            samples_of((1, 3), other),
        )
        prompts = rows(predictions, pixels, slice(QUERIES, QUERIES + 2))
        outputs.append([t[0] for t in prompts])
        if len(outputs) == 2:
            table[0] += 3  # what is drawn for padding
    torch.testing.assert_close(outputs[1], outputs[0], rtol=0, atol=1e-9)
    torch.testing.assert_close(outputs[2], outputs[0], rtol=0, atol=1e-9)


def test_one_pass_is_two_passes(head, features, samples_of, forward):
    image, audio, mixed = features()
    pixels = in_double(head, image)
    mixed = doubled(mixed)
    fix_samples(head, torch.float64)
    _, predictions = forward(
        head,
        image,
        mixed,
        samples_of((1, 3), (2,)),
    )
    labels = torch.tensor([[1, 3], [2, -1]])
    prompt, position = head.prompts(labels, head.cls_embed)
    mask = block_mask(labels >= 0, 0)
    audio_query = head.audio_query_decoder(
        prompt, position, mixed.mixture.levels, mask
    )
    alone = head.decode(audio_query, position, pixels, mask)
    torch.testing.assert_close(
        rows(predictions, pixels, slice(QUERIES, None)),
        rows(alone, pixels, slice(None)),
        rtol=0,
        atol=1e-9,
    )
    queries = sum(head(image, mixed), [])
    torch.testing.assert_close(
        rows(predictions, pixels, slice(QUERIES)), queries, rtol=0, atol=1e-9
    )


def test_prompts_are_not_matched(head, make_batch, features):
    calls = []
    match = head.assigner.match

    def spy(class_scores, mask_logits, targets):
        mask_logits = list(mask_logits)
        calls.append((class_scores, mask_logits))
        return match(class_scores, mask_logits, targets)

    head.assigner.match = spy
    image, audio, mixed = features()
    head.loss(image, mixed, make_batch()['data_samples'])
    # Four predictions of two frames, learned queries only.
    ((class_scores, mask_logits),) = calls
    assert class_scores.shape[:3] == (4, 2, QUERIES)
    assert [m.shape[:2] for m in mask_logits] == [(4, QUERIES)] * 2
    assert head.criterion.match_counts.sum() == 2 * QUERIES


def test_without_acp_prompts_attend_to_the_audio_of_queries(
    make_batch, build, teach, features
):
    head = teach(build(CCDM + ('prompts', 'loss_vcp')))
    assert not head.use_mixtures
    calls = []
    decoder = head.audio_query_decoder
    forward = decoder.forward_with_prompts
    decoder.forward_with_prompts = lambda *args: (
        calls.append(args) or forward(*args)
    )
    image, audio, _ = features()
    head.loss(image, audio, make_batch()['data_samples'])
    assert calls[0][2] is audio.levels and calls[0][3] is audio.levels


def test_testing_needs_no_prompts(head, build, features):
    """The same weights without prompts predict the same."""
    image, audio, _ = features()
    plain = build(CCDM)
    report = plain.load_state_dict(head.state_dict(), strict=False)
    assert not report.missing_keys
    prefixes = ('prompts.', 'audio_', 'loss_pcl.')
    assert all(k.startswith(prefixes) for k in report.unexpected_keys)
    head.prompts.forward = None  # would raise
    for one in (head, plain):
        one.eval()
    with torch.no_grad():
        first, second = (
            one.predict(image, one.encode_audio(audio), (64, 64))
            for one in (head, plain)
        )
    assert torch.equal(first.scores, second.scores)
