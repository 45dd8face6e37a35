import copy

import pytest
import torch
import torch.nn.functional as F
from mmseg.models.decode_heads import Mask2FormerHead
from mmseg.registry import MODELS

from mmcpm.models.decode_heads.av_mask2former_head import AVMask2FormerHead
from mmcpm.models.utils.semantic_inference import semantic_inference
from mmcpm.structures import AudioFeatures


def features(batch=2, size=64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    image = [
        torch.randn(batch, c, size // s, size // s, generator=generator)
        for c, s in ((32, 4), (64, 8), (128, 16), (256, 32))
    ]
    audio = [
        torch.randn(batch, 64, t, f, generator=generator)
        for t, f in ((6, 16), (12, 32), (24, 64))
    ]
    return image, AudioFeatures(audio)


@pytest.fixture
def head(tiny_cfg):
    torch.manual_seed(0)
    head = MODELS.build(tiny_cfg.decode_head)
    head.init_weights()
    return head


def test_outputs_before_and_after_every_layer(head):
    classes, masks = head(*features())
    assert len(classes) == len(masks) == 4
    assert all(c.shape == (2, 20, 10) for c in classes)
    assert all(m.shape == (2, 20, 16, 16) for m in masks)


def test_without_audio_it_is_stock_mask2former(head, tiny_cfg):
    """The visual part repeats mmseg's head with the same weights."""
    cfg = copy.deepcopy(tiny_cfg.decode_head)
    cfg.type = 'Mask2FormerHead'
    cfg.pop('audio_query_decoder')
    cfg.loss_cls.class_weight = [1.0] * 9 + [0.1]
    cfg.pixel_decoder.type = 'mmdet.MSDeformAttnPixelDecoder'
    stock = MODELS.build(cfg)
    assert type(stock) is Mask2FormerHead
    state = {
        k: v
        for k, v in head.state_dict().items()
        if not k.startswith('audio_query_decoder')
    }
    stock.load_state_dict(state, strict=True)
    image, audio = features()
    head.audio_query_decoder.forward = lambda query, *args: query
    torch.testing.assert_close(
        head(image, audio), stock(image, [None] * 2), rtol=1e-5, atol=1e-5
    )


def test_first_prediction_depends_on_the_audio_alone(head):
    """Classes before the visual decoder depend on the audio only."""
    image, audio = features()
    other_image, other_audio = features(seed=1)
    base = head(image, audio)[0]
    seen = head(other_image, audio)[0]
    swapped = head(image, other_audio)[0]
    torch.testing.assert_close(base[0], seen[0], rtol=0, atol=0)
    assert (base[0] - swapped[0]).abs().max() > 1e-3
    assert (base[-1] - seen[-1]).abs().max() > 1e-3
    assert (base[-1] - swapped[-1]).abs().max() > 1e-3


def test_class_weight_follows_num_classes(tiny_cfg):
    cfg = copy.deepcopy(tiny_cfg.decode_head)
    cfg.num_classes = 5
    cfg.no_object_weight = 0.3
    head = MODELS.build(cfg)
    assert list(head.class_weight) == [1.0] * 5 + [0.3]
    assert head.cls_embed.out_features == 6


def test_losses_have_mask2former_names_and_reach_everything(head, make_batch):
    image, audio = features()
    losses = head.loss(image, audio, make_batch()['data_samples'])
    names = [f'loss_{n}' for n in ('cls', 'mask', 'dice')]
    assert set(losses) == {
        *names,
        *(f'd{i}.{n}' for i in range(3) for n in names),
    }
    sum(losses.values()).backward()
    assert not [n for n, p in head.named_parameters() if p.grad is None]


@pytest.mark.parametrize('fill', [0, 255])
def test_frames_without_objects(head, make_batch, fill):
    """All background, or nothing labeled: finite, no unused parameter."""
    image, audio = features()
    data_samples = make_batch(labels=())['data_samples']
    for data_sample in data_samples:
        data_sample.gt_sem_seg.data.fill_(fill)
    losses = head.loss(image, audio, data_samples)
    total = sum(losses.values())
    assert total.isfinite()
    total.backward()
    assert not [n for n, p in head.named_parameters() if p.grad is None]


def test_semantic_inference_by_hand():
    # Two queries, two classes (+ none), one pixel.
    probability = torch.tensor([[[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]]])
    mask = torch.tensor([[[[0.9]], [[0.4]]]])
    scores = semantic_inference(probability.log(), mask.logit(), (1, 1))
    torch.testing.assert_close(
        scores[0, :, 0, 0],
        torch.tensor([0.7 * 0.9 + 0.1 * 0.4, 0.2 * 0.9 + 0.6 * 0.4]),
    )


def test_predict_has_the_size_asked_for(head):
    image, audio = features()
    query = head.encode_audio(audio)
    assert head.predict(image, query, (50, 70)).scores.shape == (2, 9, 50, 70)


def test_predict_merges_the_last_prediction(head):
    """As mmseg's head does: resize, sigmoid, sum over queries."""
    head.eval()
    image, audio = features()
    with torch.no_grad():
        actual = head.predict(image, head.encode_audio(audio), (50, 70)).scores
        classes, masks = (outputs[-1] for outputs in head(image, audio))
    masks = F.interpolate(
        masks, size=(50, 70), mode='bilinear', align_corners=False
    )
    expected = torch.einsum(
        'bqc,bqhw->bchw', classes.softmax(-1)[..., :-1], masks.sigmoid()
    )
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_last_prediction_alone_is_the_last_of_all(head):
    image, audio = features()
    query, pixels = head.encode_audio(audio), head.forward_pixel_decoder(image)
    position = head.init_queries(2)[1]
    every = head.decode(query, position, pixels)
    last = head.decode(query, position, pixels, last_only=True)
    assert len(every.state) == 4 and len(last.state) == 1
    assert torch.equal(every.query, last.query)
    for one, other in zip(every[1:], last[1:], strict=True):
        torch.testing.assert_close(one[-1:], other)


def test_audio_query_classes_are_the_first_predictions(head):
    image, audio = features()
    classes = head.audio_query_classes(head.encode_audio(audio))
    torch.testing.assert_close(classes, head(image, audio)[0][0].argmax(-1))


def test_matches_are_counted_per_class_and_query(head, make_batch):
    image, audio = features()
    data_samples = make_batch(labels=(1, 3))['data_samples']
    for _ in range(2):
        head.loss(image, audio, data_samples)
    counts = head.criterion.match_counts
    # Two steps of two images, each with background and two classes.
    assert counts[[0, 1, 3]].sum(1).tolist() == [4, 4, 4]
    assert counts[9].sum() == 2 * 2 * (20 - 3)
    assert counts.sum() == 2 * 2 * 20
    assert (counts.sum(0) == 4).all()
    head.eval()
    head.loss(image, audio, data_samples)
    assert counts.sum() == 2 * 2 * 20
    assert 'match_counts' not in head.state_dict()


@pytest.mark.parametrize(
    'change,message',
    [
        (dict(num_classes=1), 'num_classes'),
        (
            dict(loss_cls=dict(class_weight=[1.0] * 10), no_object_weight=0.1),
            'given twice',
        ),
        (dict(loss_cls=dict(class_weight=[1.0] * 8)), 'must hold 9 numbers'),
        (
            dict(loss_cls=dict(class_weight=[1.0] * 8 + [-1])),
            'class 8. is -1',
        ),
    ],
)
def test_bad_arguments(tiny_cfg, change, message):
    cfg = copy.deepcopy(tiny_cfg.decode_head)
    cfg.merge_from_dict(change) if hasattr(
        cfg, 'merge_from_dict'
    ) else cfg.update(change)
    cfg.pop('type')
    with pytest.raises(ValueError, match=message):
        AVMask2FormerHead(**cfg)


@pytest.mark.parametrize('kind', ['AVMask2FormerHead', 'CPMHead'])
def test_unknown_arguments_are_refused(tiny_cfg, kind):
    """mmdet's head would swallow them."""
    cfg = dict(tiny_cfg.decode_head, type=kind, num_query=50, tau=1)
    with pytest.raises(TypeError, match='no argument num_query, tau: it'):
        MODELS.build(cfg)


def test_former_names_are_told(tiny_cfg):
    """A config that was saved with a training may hold them."""
    cfg = dict(tiny_cfg.decode_head, merge='argmax')
    with pytest.raises(TypeError, match='merge is inference_mode now'):
        MODELS.build(cfg)
    for scope in ('', 'mmcpm.', 'mmcpm.models.'):
        cfg = copy.deepcopy(tiny_cfg.decode_head)
        cfg.audio_query_decoder.type = f'{scope}AudioQueryDecoder'
        with pytest.raises(ValueError, match="'AudioTransformerDecoder' now"):
            MODELS.build(cfg)


@pytest.fixture
def placed(tiny_cfg):
    cfg = copy.deepcopy(tiny_cfg.decode_head)
    cfg.mask_position = True
    torch.manual_seed(0)
    head = MODELS.build(cfg)
    head.init_weights()
    return head


def test_masks_are_told_where_they_are(head, placed):
    """What is added depends on the place alone, to the left and right too."""
    report = placed.load_state_dict(head.state_dict(), strict=False)
    assert report.missing_keys == [
        'mask_position.weight',
        'mask_position.bias',
    ]
    image, _ = features()
    other, _ = features(seed=1)
    added = [
        placed.forward_pixel_decoder(levels).mask_feature
        - head.forward_pixel_decoder(levels).mask_feature
        for levels in (image, other)
    ]
    torch.testing.assert_close(*added, atol=1e-5, rtol=1e-4)
    place = added[0][0].flatten(1).T  # [h * w, C]
    apart = torch.cdist(place, place) + torch.eye(len(place))
    assert apart.min() > 1e-3
    # The tokens that queries attend to are as they were.
    for one, two in zip(
        head.forward_pixel_decoder(image).keys,
        placed.forward_pixel_decoder(image).keys,
        strict=True,
    ):
        torch.testing.assert_close(one, two)


def test_place_of_the_masks_is_as_loud_as_the_rest(placed):
    """Fainter, which side a sound comes from is not learned in time."""
    for size in ((24, 24), (24, 40)):
        added = placed.mask_position(torch.zeros(1, 1, *size))
        deviation = added.std(dim=(2, 3)).square().mean().sqrt()
        assert 0.7 < deviation < 1.4
        # Most of it is told apart from the left to the right.
        assert added.mean(2).std(2).square().mean().sqrt() > 0.4


def test_place_of_the_masks_is_learned(placed, make_batch):
    image, audio = features()
    samples = make_batch(labels=(1, 3))['data_samples']
    losses = placed.loss(image, audio, samples)
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    assert placed.mask_position.weight.grad.abs().sum() > 0
