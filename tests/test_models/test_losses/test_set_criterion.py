"""The one-pass learning of the head against mmseg's and mmdet's own."""

import copy

import pytest
import torch
import torch.nn as nn
from mmdet.models.layers import MSDeformAttnPixelDecoder
from mmdet.models.task_modules.assigners import HungarianAssigner
from mmengine.structures import PixelData
from mmseg.models.decode_heads import Mask2FormerHead
from mmseg.registry import MODELS, TASK_UTILS

from mmcpm.models.ops.attention import SDPAttention

FRAMES = {
    'as many classes': [(0, 1, 3), (0, 2, 5)],
    'different numbers': [(0, 1, 3, 4, 8), (0,)],
    'all ignored': [None, None],
    'one frame': [(0, 7)],
    'no background': [(6, 2), (4,), (0, 1)],
}


def stock_assigner(cfg):
    """mmdet's assigner in place of the one that takes all at once."""
    return TASK_UTILS.build(
        dict(cfg.train_cfg.assigner, type='mmdet.HungarianAssigner')
    )


def stock_head(head, cfg):
    """Mask2Former as mmseg has it, with the weights of a head."""
    cfg = copy.deepcopy(cfg)
    cfg.type = 'Mask2FormerHead'
    cfg.pop('audio_query_decoder')
    cfg.pop('no_object_weight', None)
    cfg.loss_cls.class_weight = list(head.class_weight)
    cfg.train_cfg.assigner.type = 'mmdet.HungarianAssigner'
    cfg.pixel_decoder.type = 'mmdet.MSDeformAttnPixelDecoder'
    stock = MODELS.build(cfg)
    assert type(stock) is Mask2FormerHead
    assert type(stock.assigner) is HungarianAssigner
    assert type(stock.pixel_decoder) is MSDeformAttnPixelDecoder
    assert not any(isinstance(m, SDPAttention) for m in stock.modules())
    state = {
        name: value
        for name, value in head.state_dict().items()
        if not name.startswith('audio_query_decoder')
    }
    stock.load_state_dict(state, strict=True)
    return stock


def leave_pixel_centers(head):
    """Move the places where the deformable attention samples.

    It starts with whole pixels, where interpolation has a kink: the gradient
    of the offsets there is that of one side or of the other.
    """
    for name, parameter in head.named_parameters():
        if 'sampling_offsets.bias' in name:
            nn.init.uniform_(parameter, -1.4, 1.4)


def backward(module, losses):
    module.zero_grad()
    sum(value.sum() for value in losses.values()).backward()
    return {name: p.grad for name, p in module.named_parameters()}


def assert_same_losses(actual, expected):
    assert set(actual) == set(expected)
    for name, value in expected.items():
        # Some of mmdet's are tensors of one number.
        torch.testing.assert_close(
            actual[name], value.squeeze(), rtol=1e-4, atol=1e-6
        )


def assert_same_gradients(actual, expected):
    """To 1e-4 of the largest of each parameter, and of any."""
    assert set(actual) == set(expected)
    largest = max(float(g.abs().max()) for g in expected.values())
    for name, gradient in expected.items():
        scale = max(float(gradient.abs().max()), 1e-3 * largest)
        worst = float((actual[name] - gradient).abs().max())
        assert worst <= 1e-4 * scale, (name, worst, scale)


@pytest.fixture
def head_cfg(tiny_cfg):
    return tiny_cfg.decode_head


@pytest.fixture
def make_head(head_cfg):
    def make(**changes):
        head_cfg.update(changes)
        torch.manual_seed(0)
        head = MODELS.build(head_cfg)
        head.init_weights()
        return head

    return make


@pytest.mark.parametrize('case', FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize('queries', [20, 2])
def test_losses_are_those_of_stock_mask2former(
    make_head, head_cfg, features, frames, shared_points, case, queries
):
    """With stock attention, masks, matching and losses; deaf.

    Two queries are fewer than the classes of some frames.
    """
    head = make_head(num_queries=queries)
    leave_pixel_centers(head)
    stock = stock_head(head, head_cfg)
    head.audio_query_decoder.forward = lambda query, *args: query
    samples = frames(*case)
    image, audio, _ = features(len(samples))
    actual = head.loss(image, audio, samples)
    expected = stock.loss(image, samples, None)
    assert_same_losses(actual, expected)
    gradients = {
        name: gradient
        for name, gradient in backward(head, actual).items()
        if not name.startswith('audio_query_decoder')
    }
    assert_same_gradients(gradients, backward(stock, expected))


@pytest.mark.parametrize('case', FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize('queries', [20, 2])
def test_losses_are_those_of_mmdet_on_the_outputs(
    make_head, head_cfg, features, frames, shared_points, case, queries
):
    """With the audio: what mmdet makes of the raw outputs."""
    head = make_head(num_queries=queries)
    twin = copy.deepcopy(head)
    twin.assigner = stock_assigner(head_cfg)
    samples = frames(*case)
    image, audio, _ = features(len(samples))
    actual = head.loss(image, audio, samples)
    expected = twin.loss_by_feat(
        *twin(image, audio), *twin._seg_data_to_instance_data(samples)
    )
    assert_same_losses(actual, expected)
    assert_same_gradients(backward(head, actual), backward(twin, expected))


def test_frames_without_targets_leave_the_mean_to_the_others(
    make_head, head_cfg, features, frames, shared_points
):
    """mmdet divides by three masks where there are two.

    Its sampler counts at least one for each frame.
    """
    head = make_head()
    twin = copy.deepcopy(head)
    twin.assigner = stock_assigner(head_cfg)
    samples = frames((0, 1), None)
    image, audio, _ = features()
    losses = head.loss(image, audio, samples)
    expected = twin.loss_by_feat(
        *twin(image, audio), *twin._seg_data_to_instance_data(samples)
    )
    for name, value in expected.items():
        factor = 1 if 'cls' in name else 3 / 2
        torch.testing.assert_close(losses[name], factor * value.squeeze())


def test_other_points_give_other_losses(make_head, features, frames):
    """Without the shared points the tests above could not pass."""
    head = make_head()
    samples = frames(*FRAMES['as many classes'])
    image, audio, _ = features()
    first, second = (head.loss(image, audio, samples) for _ in range(2))
    assert abs(first['loss_mask'] / second['loss_mask'] - 1) > 1e-3


def test_weights_of_the_losses_count(
    make_head, head_cfg, features, frames, shared_points
):
    samples = frames(*FRAMES['different numbers'])
    image, audio, _ = features()
    plain = make_head().loss(image, audio, samples)
    for name in ('loss_cls', 'loss_mask', 'loss_dice'):
        cfg = copy.deepcopy(head_cfg)
        cfg[name].loss_weight *= 3
        torch.manual_seed(0)
        head = MODELS.build(cfg)
        head.init_weights()
        losses = head.loss(image, audio, samples)
        for key, value in plain.items():
            factor = 3 if key.split('.')[-1] == name else 1
            torch.testing.assert_close(losses[key], factor * value)


def test_no_object_weight_counts(
    make_head, head_cfg, features, frames, shared_points
):
    head = make_head(no_object_weight=0.7)
    twin = copy.deepcopy(head)
    twin.assigner = stock_assigner(head_cfg)
    samples = frames(*FRAMES['different numbers'])
    image, audio, _ = features()
    expected = twin.loss_by_feat(
        *twin(image, audio), *twin._seg_data_to_instance_data(samples)
    )
    assert_same_losses(head.loss(image, audio, samples), expected)
    other = make_head(no_object_weight=0.1).loss(image, audio, samples)
    assert abs(other['loss_cls'] - expected['loss_cls']) > 1e-2


@pytest.mark.parametrize('queries', [20, 3])
def test_class_weights_are_mmdets(
    make_head, head_cfg, features, frames, shared_points, queries
):
    """With as many objects as queries, none is left for "no object"."""
    head_cfg.loss_cls.class_weight = [0.2, 3, 1, 0.7, 1, 0, 1, 5, 0.5, 0.4]
    head = make_head(num_queries=queries)
    twin = copy.deepcopy(head)
    twin.assigner = stock_assigner(head_cfg)
    samples = frames((0, 1, 3), (0, 5, 7))
    image, audio, _ = features()
    expected = twin.loss_by_feat(
        *twin(image, audio), *twin._seg_data_to_instance_data(samples)
    )
    assert_same_losses(head.loss(image, audio, samples), expected)


def test_matches_that_weigh_nothing(make_head, head_cfg, features, frames):
    head_cfg.loss_cls.class_weight = [0.0] * 9 + [0.0]
    image, audio, _ = features()
    losses = make_head().loss(image, audio, frames((0, 1), (0, 5)))
    assert losses['loss_cls'] == losses['d0.loss_cls'] == 0


def test_label_maps_of_another_size_than_the_features(
    make_head, head_cfg, features, frames, shared_points
):
    """Odd ratios of labels to masks: points are relative to both."""
    head = make_head()
    twin = copy.deepcopy(head)
    twin.assigner = stock_assigner(head_cfg)
    samples = frames(*FRAMES['different numbers'], size=72)
    for sample in samples:
        data = sample.gt_sem_seg.data[:, 3:, 10:61].clone()
        del sample.gt_sem_seg
        sample.gt_sem_seg = PixelData(data=data)
    image, audio, _ = features()
    assert_same_losses(
        head.loss(image, audio, samples),
        twin.loss_by_feat(
            *twin(image, audio), *twin._seg_data_to_instance_data(samples)
        ),
    )


def watch_masks(head):
    """Collect the masks of the visual decoder's cross-attention."""
    masks = []
    for layer in head.transformer_decoder.layers:
        layer.register_forward_pre_hook(
            lambda _, args, kwargs: masks.append(kwargs['cross_attn_mask']),
            with_kwargs=True,
        )
    return masks


@pytest.mark.parametrize('seed', range(3))
def test_attention_masks_are_those_of_stock_mask2former(
    make_head, head_cfg, features, seed
):
    """Bit by bit, from features resized instead of masks."""
    head = make_head()
    stock = stock_head(head, head_cfg)
    head.audio_query_decoder.forward = lambda query, *args: query
    ours, theirs = watch_masks(head), watch_masks(stock)
    image, audio, _ = features(seed=seed)
    head(image, audio)
    stock(image, [None] * 2)
    assert len(ours) == len(theirs) == 3
    for mask, other, size in zip(ours, theirs, (2, 4, 8), strict=True):
        assert mask.shape == (2, 20, size**2)
        other = other.view(2, head.num_heads, 20, size**2)
        assert (other == mask[:, None]).all()
    assert any(mask.any() for mask in ours)


@pytest.mark.parametrize('sign,everything', [(-1.0, True), (1.0, False)])
def test_a_query_with_an_empty_mask_attends_everywhere(
    make_head, head_cfg, features, sign, everything
):
    """And so does one whose mask is everything."""
    head = make_head()
    stock = stock_head(head, head_cfg)
    head.audio_query_decoder.forward = lambda query, *args: query
    image, audio, _ = features()
    for one in (head, stock):
        nn.init.zeros_(one.mask_embed[-1].weight)
        nn.init.constant_(one.mask_embed[-1].bias, sign)
        encode = one.pixel_decoder.forward
        one.pixel_decoder.forward = lambda levels, encode=encode: (
            lambda feature, memories: (feature.abs(), memories)
        )(*encode(levels))
    ours, theirs = watch_masks(head), watch_masks(stock)
    masks = head(image, audio)[1]
    stock(image, [None] * 2)
    assert all((m < 0).all() == everything for m in masks)
    assert not any(mask.any() for mask in (*ours, *theirs))


def test_labels_of_the_targets(make_head, frames):
    targets = make_head().criterion.read_targets(frames((0, 3, 8), None, (5,)))
    assert targets.classes == [[0, 3, 8], [], [5]]
    assert targets.label_maps.shape == (3, 64, 64)


@pytest.mark.parametrize('wrong', [9, 254, 300, -1])
def test_classes_out_of_range_name_the_frame(make_head, frames, wrong):
    samples = frames((0, 1), (0, 2))
    samples[1].gt_sem_seg.data[0, 7, 7] = wrong
    samples[1].set_metainfo(dict(seg_map_path='clip/1.png'))
    with pytest.raises(ValueError, match=r'clip/1\.png.*0\.\.8'):
        make_head().criterion.read_targets(samples)


def test_a_step_copies_to_the_host_twice(
    make_head, features, frames, monkeypatch
):
    """Which classes there are, and the costs of all matchings."""
    copies = []
    cpu = torch.Tensor.cpu
    monkeypatch.setattr(
        torch.Tensor,
        'cpu',
        lambda self: copies.append(self.shape) or cpu(self),
    )
    head = make_head()
    samples = frames(*FRAMES['different numbers'])
    image, audio, _ = features()
    head.loss(image, audio, samples)
    # Of 5 and 1 classes, in 4 predictions of 20 queries.
    assert copies == [(2, 258), (4 * 20 * 6,)]
